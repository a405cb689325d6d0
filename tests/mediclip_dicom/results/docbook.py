"""DocBook for dicom-validator, from tables of the standard that PyPI has.

dicom-validator reads the parts of the standard in DocBook, which only their publisher gives out.
The package dicom-standard brings the same tables as JSON, of the edition of spring 2020: IODs with
their modules (PS3.3 annex A), attributes of modules with macros written out (annex C), SOP classes
(PS3.4 table B.5-1), and the data dictionary (PS3.6). This turns them back, as far as
dicom-validator looks.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

EDITION = "2020b"
NAMESPACE = "http://docbook.org/ns/docbook"
FUNCTIONAL_GROUPS = "Include one or more Functional Group Macros"

MACRO_OF_VALUE_TYPE = {
    "NUM": "numeric-measurement",
    "CODE": "code",
    "COMPOSITE": "composite-object-reference",
    "IMAGE": "image-reference",
    "WAVEFORM": "waveform-reference",
    "SCOORD": "spatial-coordinates",
    "SCOORD3D": "3d-spatial-coordinates",
    "TCOORD": "temporal-coordinates",
    "CONTAINER": "container",
}
"""What table C.17-5 includes for which Value Type."""

CONTENT_SEQUENCE, RELATIONSHIP_TYPE = "0040a730", "0040a010"
OWN_OF_DOCUMENT_CONTENT = (
    *("0040a040", "0040a043", "0040a160", "0040a120"),
    *("0040a121", "0040a122", "0040a123", "0040a124"),
)

INCLUDES: dict[str, dict[str, str]] = {
    "sr-document-content": {
        "document-content": "Include {} Document Content Macro",
        "document-relationship": "Include {} Document Relationship Macro",
    },
    "document-content": {
        macro: f"Include {{}} if and only if Value Type (0040,A040) is {value_type}."
        for value_type, macro in MACRO_OF_VALUE_TYPE.items()
    },
    "document-relationship": {
        "document-content": ">Include {} Document Content Macro",
        "document-relationship": ">Include {} Document Relationship Macro",
    },
}
"""Macros that a table includes (PS3.3 C.17.3), the place of the link as {}."""


def write_standard(directory: Path, sop_classes: Iterable[str]) -> Path:
    """Write what dicom-validator needs to judge objects of `sop_classes`; returns `directory`.

    Args:
        directory: gets `editions.json` and parts 3, 4 and 6 of one edition.
        sop_classes: SOP Class UIDs.
    """
    folder = directory / EDITION / "docbook"
    folder.mkdir(parents=True)
    (directory / "editions.json").write_text(json.dumps([EDITION]), encoding="utf-8")
    classes = frozenset(sop_classes)
    ids = {ciod["name"]: ciod["id"] for ciod in _table("ciods")}
    wanted = {sop["id"]: ids[sop["ciod"]] for sop in _table("sops") if sop["id"] in classes}
    labels = {ciod: f"A.{number}" for number, ciod in enumerate(sorted({*wanted.values()}), 2)}
    for part, root in (
        (3, _objects(labels)),
        (4, _sop_classes(wanted, labels)),
        (6, _dictionary()),
    ):
        ElementTree.ElementTree(root).write(folder / f"part{part:02}.xml", encoding="utf-8")
    return directory


def _table(name: str) -> list[dict[str, Any]]:
    files = distribution("dicom-standard").files or ()
    path = next(file for file in files if file.name == f"{name}.json")
    table: list[dict[str, Any]] = json.loads(Path(path.locate()).read_text(encoding="utf-8"))
    return table


class _Sections:
    """Labels of the sections of modules and macros, given out as they are first referred to."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str], str] = {}
        self._unwritten: list[tuple[str, str]] = []

    def label(self, kind: str, name: str) -> str:
        """Of a "module" or "macro"."""
        if (kind, name) not in self._labels:
            self._labels[kind, name] = f"C.{len(self._labels) + 1}"
            self._unwritten.append((kind, name))
        return self._labels[kind, name]

    def unwritten(self) -> Iterator[tuple[str, str, str]]:
        """Kind, name and label of each, those included that come up meanwhile."""
        while self._unwritten:
            kind, name = self._unwritten.pop()
            yield kind, name, self._labels[kind, name]


def _objects(labels: dict[str, str]) -> Element:
    """Part 3: a section for each IOD, and one for each module and macro that it names."""
    book = Element("book", xmlns=NAMESPACE)
    sections = _Sections()
    _write_iods(_chapter(book, "A"), labels, sections)
    _write_modules(_chapter(book, "C"), sections)
    return book


def _write_iods(chapter: Element, labels: dict[str, str], sections: _Sections) -> None:
    _section(chapter, "A.1", "Introduction")
    modules = _by(_table("ciod_to_modules"), "ciodId")
    macros = _by(_table("ciod_to_fg_macros"), "ciodId")
    for ciod, label in labels.items():
        iod = _section(chapter, label, f"{ciod} IOD")
        body = _body(_section(iod, f"{label}.1", f"{ciod} IOD Module Table"))
        for row in modules[ciod]:
            cells = _row(body, row["informationEntity"], row["moduleId"], "", _usage(row))
            _link(cells[2], sections.label("module", row["moduleId"]))
        if ciod not in macros:
            continue
        body = _body(_section(iod, f"{label}.2", f"{ciod} Functional Group Macros"))
        for row in macros[ciod]:
            cells = _row(body, row["macroId"], "", _usage(row))
            _link(cells[1], sections.label("macro", row["macroId"]))


def _write_modules(chapter: Element, sections: _Sections) -> None:
    rows = {
        "module": _by(_table("module_to_attributes"), "moduleId"),
        "macro": _by(_table("macro_to_attributes"), "macroId"),
    }
    names = {attribute["tag"]: attribute["name"] for attribute in _table("attributes")}
    for kind, name, label in sections.unwritten():
        body = _body(_section(chapter, label, name))
        for row in rows[kind][name]:
            if _stands_in_an_include(name, row["path"]):
                continue
            level = ">" * (row["path"].count(":") - 1)
            _row(body, level + names.get(row["tag"], "Repeated Group"), row["tag"], row["type"])
            body[-1].append(_description(row["description"]))
            if row["tag"] in ("(5200,9229)", "(5200,9230)"):
                _row(body, f">{FUNCTIONAL_GROUPS}")
        for macro, text in INCLUDES.get(name, {}).items():
            before, _, after = text.partition("{}")
            include = SubElement(_row(body, before)[0][0], "emphasis")
            include.tail = after
            SubElement(include, "xref", linkend=f"sect_{sections.label('macro', macro)}")


def _stands_in_an_include(name: str, path: str) -> bool:
    """The JSON writes macros out, and loses on what condition and how often they are included."""
    if name not in INCLUDES:
        return False
    tags = path.split(":")[1:]
    if name == "document-content":
        return tags[0] not in OWN_OF_DOCUMENT_CONTENT
    if name == "document-relationship":
        return tags[0] == CONTENT_SEQUENCE and tags[1:2] not in ([], [RELATIONSHIP_TYPE])
    return True


def _sop_classes(wanted: dict[str, str], labels: dict[str, str]) -> Element:
    """Part 4, table B.5-1."""
    book = Element("book", xmlns=NAMESPACE)
    body = _body(_section(_chapter(book, "B"), "B.5", "Standard SOP Classes"))
    for uid, ciod in wanted.items():
        cells = _row(body, ciod, uid, "")
        SubElement(cells[2][0], "olink", targetptr=f"sect_{labels[ciod]}")
    return book


def _dictionary() -> Element:
    """Part 6: the data elements; UIDs are not looked up in it."""
    book = Element("book", xmlns=NAMESPACE)
    body = _body(_chapter(book, "6"))
    for row in _table("attributes"):
        vr, vm = row["valueRepresentation"], row["valueMultiplicity"]
        _row(body, row["tag"], row["name"], row["keyword"], vr, vm, "")
    _body(_chapter(book, "A"))
    return book


def _description(html: str) -> Element:
    """A cell of the standard's HTML; lists of values under a heading become variable lists."""
    cell = Element("td")
    for part in ElementTree.fromstring(html):
        values = part.find("dl") if part.tag == "div" else None
        heading = part.find("p/strong")
        if values is None or heading is None:
            SubElement(cell, "para").text = _text(part)
            continue
        listed = SubElement(cell, "variablelist")
        SubElement(listed, "title").text = _text(heading)
        for term in values.iterfind("dt"):
            entry = SubElement(listed, "varlistentry")
            SubElement(entry, "term").text = _text(term)
    return cell


def _usage(row: dict[str, Any]) -> str:
    condition = row["conditionalStatement"]
    return f"{row['usage']} - {condition}" if condition else str(row["usage"])


def _by(rows: list[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return dict(found)


def _chapter(book: Element, label: str) -> Element:
    return SubElement(book, "chapter", label=label)


def _section(parent: Element, label: str, title: str) -> Element:
    section = SubElement(parent, "section", label=label)
    SubElement(section, "title").text = title
    return section


def _body(parent: Element) -> Element:
    return SubElement(SubElement(parent, "table"), "tbody")


def _row(body: Element, *columns: str) -> list[Element]:
    row = SubElement(body, "tr")
    cells = [SubElement(row, "td") for _ in columns]
    for cell, text in zip(cells, columns, strict=True):
        SubElement(cell, "para").text = text
    return cells


def _link(cell: Element, label: str) -> None:
    SubElement(cell[0], "xref", linkend=f"sect_{label}")


def _text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())
