"""config.toml and the environment: defaults, overrides, and errors that help."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from mediclip_dicom.errors import ConfigError
from mediclip_dicom.settings import DestinationSettings, PeerSettings, Settings, load_settings

SHIPPED = Path(__file__).parents[3] / "config.toml"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def uncommented(text: str) -> str:
    """The shipped file with every commented setting switched on."""
    lines = []
    for line in text.splitlines():
        setting = line.removeprefix("# ")
        is_setting = line.startswith("# ") and (" = " in setting or setting.startswith("[["))
        looks_like_prose = is_setting and not setting.split(" = ")[0].replace("_", "").isalnum()
        if is_setting and (setting.startswith("[[") or not looks_like_prose):
            lines.append(setting)
        elif line.startswith("["):
            lines.append(line)
    return "\n".join(lines)


def test_the_shipped_file_is_the_defaults() -> None:
    assert load_settings(SHIPPED) == Settings(
        storage={"root": str(SHIPPED.parent / "data")}  # type: ignore[arg-type]
    )


def test_the_shipped_file_names_every_setting_with_its_default(tmp_path: Path) -> None:
    shipped = tomllib.loads(uncommented(SHIPPED.read_text()))
    defaults = Settings().model_dump(mode="json")
    for section, values in defaults.items():
        if section in ("peers", "destinations"):
            continue
        assert set(shipped[section]) == set(values), section
        for key, value in values.items():
            if value is None:  # shown by example
                continue
            assert shipped[section][key] == value, (section, key)
    assert set(shipped["peers"][0]) == set(PeerSettings.model_fields)
    assert set(shipped["destinations"][0]) == set(DestinationSettings.model_fields)


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"node\.prot.*did you mean 'port'"):
        load_settings(written(tmp_path, "[node]\nprot = 104\n"))


def test_an_unknown_section_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'storage'"):
        load_settings(written(tmp_path, "[storrage]\nroot = 'x'\n"))


def test_an_unknown_key_of_a_destination_is_refused(tmp_path: Path) -> None:
    text = "[[destinations]]\nname='a'\nae_title='A'\nhost='h'\nport=1\naet='x'\n"
    with pytest.raises(ConfigError, match=r"destinations\.0\.aet"):
        load_settings(written(tmp_path, text))


def test_the_environment_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDICLIP_NODE__PORT", "11113")
    monkeypatch.setenv("MEDICLIP_NODE__OPEN", "true")
    settings = load_settings(written(tmp_path, "[node]\nport = 104\nae_title = 'AI'\n"))
    assert (settings.node.port, settings.node.ae_title) == (11113, "AI")
    assert settings.node.open


@pytest.mark.parametrize("name", ["MEDICLIP_NODE__PROT", "MEDICLIP_NODDE__PORT"])
def test_an_unknown_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match="did you mean"):
        load_settings(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[node]\nport = 99999\n", "node.port"),
        ("[node]\nae_title = 'SEVENTEEN_LETTERS'\n", "node.ae_title"),
        ("[node]\nae_title = 'A\\\\B'\n", "node.ae_title"),
        ("[tasks]\nfalse_positive_rate = 1.5\n", "tasks.false_positive_rate"),
        ("[gathering]\nquiet_period_s = 60\nlongest_wait_s = 5\n", "longest_wait_s"),
        ("[database]\nurl = 'mysql://x'\n", "database.url"),
        ("[tls]\ncertificate = 'a.pem'\n", "name certificate, private_key and trusted"),
        ("[[peers]]\nname='a'\nae_title='A'\ntls=true\n", "tls = true of a needs certificates"),
        ("[[peers]]\nname='a'\nae_title='A'\nhost='1.2.3.4/77'\n", "peers.0.host"),
        ("[[destinations]]\nname = 'a'\n", "destinations.0.host: Field required"),
        ("[node\n", "not valid TOML"),
    ],
)
def test_a_bad_value_is_named_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        load_settings(written(tmp_path, text))


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    block = "[[destinations]]\nname='a'\nae_title='A'\nhost='h'\nport=1\n"
    with pytest.raises(ConfigError, match="two destinations are named a"):
        load_settings(written(tmp_path, block * 2))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config FILE"):
        load_settings(tmp_path / "none.toml")


def test_a_relative_storage_root_starts_at_the_file(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "[storage]\nroot = 'spool/here'\n"))
    assert settings.storage.root == tmp_path / "spool" / "here"


DESTINATION = {"name": "pacs", "ae_title": "PACS", "host": "localhost", "port": 104}


@pytest.mark.parametrize(
    ("results", "kinds"),
    [
        ("viewer", ("SR", "SEG")),
        ("archive", ("SR", "SEG", "FRACTIONAL")),
        ("legacy", ("SR", "SC", "KO")),
        (["SR", "PM"], ("SR", "PM")),
    ],
)
def test_a_destination_gets_a_profile_or_a_list(results: object, kinds: tuple[str, ...]) -> None:
    settings = Settings.model_validate({"destinations": [{**DESTINATION, "results": results}]})
    assert settings.destinations[0].results == kinds
    assert settings.result_kinds == {"SR", "SEG", *kinds}


@pytest.mark.parametrize("results", ["everything", ["SR", "PDF"], []])
def test_an_unknown_profile_or_kind_is_refused(results: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"destinations": [{**DESTINATION, "results": results}]})
