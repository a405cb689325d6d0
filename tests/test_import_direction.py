"""The direction of imports that keeps ai_core, listener and mediclip_dicom apart."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FORBIDDEN = {
    "ai_core": {
        "listener", "mediclip_dicom", "pydicom", "pynetdicom", "highdicom",
        "sqlalchemy", "alembic", "sqlite3", "dbos", "pydantic_settings", "tomllib",
    },
    "listener": {
        "ai_core", "mediclip_dicom", "torch", "open_clip", "sqlalchemy", "alembic",
        "sqlite3", "dbos", "pydantic_settings", "tomllib",
    },
}  # fmt: skip


def imported_packages(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(), str(module))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_nothing_against_the_direction(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    offending = {
        str(module.relative_to(ROOT)): sorted(bad)
        for module in modules
        if (bad := imported_packages(module) & FORBIDDEN[package])
    }
    assert offending == {}
