"""`satomori check FILE`, as somebody sees it who runs it."""

from io import StringIO

import pytest

from agent.check import check

GOOD = """
[gateway]
name = "g1"

[[sensor]]
name = "寝室"
device = "switchbot_meter"
address = "A4:C1:38:00:00:01"

[[rule]]
name = "寒い"
condition = "below"
sensor = "寝室"
quantity = "temperature_celsius"
limit = 10
"""


@pytest.fixture
def checked(tmp_path):
    """Write the text to gateway.toml, check it, and return the code and what was printed where."""

    def checked(text):
        file, out, err = tmp_path / "gateway.toml", StringIO(), StringIO()
        file.write_text(text, "utf-8")
        code = check(file, out, err)
        return code, out.getvalue().replace(f"{tmp_path}/", ""), err.getvalue()

    return checked


def test_a_good_file_is_summed_up(checked):
    assert checked(GOOD) == (
        0,
        (
            "gateway.toml: no mistakes\n"
            "  gateway: g1; sensors: 1; rules: 1\n"
            "  sends nothing: there is no section [uplink]\n"
            "  page at http://127.0.0.1:8080/\n"
        ),
        "",
    )


def test_the_summary_says_where_everything_is_sent(checked):
    _, out, _ = checked(GOOD + '[uplink]\nhost = "mqtt.example.jp"\n[page]\nenabled = false\n')
    assert "  sends to mqtts://mqtt.example.jp:8883\n  no page\n" in out
    _, out, _ = checked(GOOD + '[uplink]\nhost = "localhost"\ntls = false\n')
    assert "  sends to mqtt://localhost:1883\n" in out


def test_each_mistake_is_a_paragraph_on_stderr(checked, tmp_path):
    code, out, err = checked(GOOD.replace("limit = 10", "limt = 10") + "[page]\nport = 0\n")
    assert (code, out) == (2, "")
    assert err.split("\n\n") == [
        f"{tmp_path}/gateway.toml: 2 mistakes",
        "page.port = 0: must be at least 1",
        (
            'rule "寒い" (rule[1]).limt = 10: no such setting of below; did you mean "limit"? '
            "(there are: limit, margin)\n"
        ),
    ]


def test_a_file_that_is_not_there_is_a_mistake(tmp_path):
    err = StringIO()
    assert check(tmp_path / "gateway.toml", StringIO(), err) == 2
    assert "cannot be read: No such file or directory" in err.getvalue()


def test_a_password_that_everybody_can_read_is_worth_a_note_but_no_mistake(checked, tmp_path):
    password = tmp_path / "password"
    password.write_text("hunter2")
    uplink = '[uplink]\nhost = "h"\nusername = "g1"\npassword_file = "password"\n'
    password.chmod(0o644)
    code, out, _ = checked(GOOD + uplink)
    assert code == 0
    assert out.endswith(
        "note: uplink.password_file: password can be read by everybody on this machine; "
        "chmod o-rwx password\n"
    )
    password.chmod(0o640)
    assert "note" not in checked(GOOD + uplink)[1]
    password.unlink()
    assert "password cannot be looked at from here: No such file" in checked(GOOD + uplink)[1]


def test_a_recording_that_takes_the_place_of_all_sensors_is_worth_a_note(checked):
    _, out, _ = checked(GOOD + '[recorded]\nfile = "home.jsonl"\n')
    assert out.endswith(
        "note: only the recording home.jsonl is heard, and no sensor: see [recorded]\n"
    )
