"""A look at an endpoint: what it is, what it takes, and when there is nothing to look at."""

import time

import pytest
from tests.serving_endpoints import Script, nobody, scripted

from crossgrade.errors import BadOption, EndpointAbsent
from crossgrade.serving.client import look

KEY = "sk-very-secret-0123456789"


def looked(address, *, model="", api="completions", key=None, timeout_s=10.0):
    return look(address, model=model, api=api, key=key, timeout_s=timeout_s)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_healthy_endpoint(api):
    with scripted(Script(max_model_len=4096)) as endpoint:
        found = looked(endpoint.address + "/", api=api)
    assert found.address == endpoint.address
    assert found.model == "scripted"
    assert found.facts == {
        "server": "scripted", "version": "1.2.3", "models": "scripted", "max_model_len": "4096",
    }  # fmt: skip
    assert (found.streams_usage, found.ignores_eos, found.notes) == (True, True, ())
    assert (found.input_fixed, found.input_per_word) == pytest.approx((3, 1.25))


def test_options_that_are_refused_by_name_are_left_out_and_noted():
    with scripted(Script(refuses=("ignore_eos", "stream_options"))) as endpoint:
        found = looked(endpoint.address)
    assert (found.streams_usage, found.ignores_eos) == (False, False)
    assert any("stream_options" in note for note in found.notes)
    assert any("ignore_eos" in note for note in found.notes)
    assert (found.input_fixed, found.input_per_word) == (0, 1)
    assert "ignore_eos" not in endpoint.posts[-1].body


def test_an_endpoint_that_reports_no_tokens():
    with scripted(Script(usage=False)) as endpoint:
        found = looked(endpoint.address)
    assert not found.streams_usage
    assert found.notes == ("it reports no numbers of tokens at the end of a stream",)


def test_counts_that_cannot_be_are_noted():
    with scripted(Script(prompt_per_word=0.0)) as endpoint:
        found = looked(endpoint.address)
    assert (found.input_fixed, found.input_per_word) == (0, 1)
    assert "cannot be" in found.notes[0]


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (Script(way="status", status=500), "http-error: status 500"),
        (Script(way="status", status=429), "http-error: status 429"),
        (Script(way="cut-off", after=1), "cut-off"),
        (Script(way="closing"), "cut-off"),
        (Script(way="garbage", after=1), "malformed: an event is not JSON"),
        (Script(way="html"), "malformed: content-type 'text/html'"),
        (Script(way="silent"), "timed-out"),
        (Script(way="keep-alives"), "timed-out"),
    ],
)
def test_an_endpoint_that_fails_is_left_to_the_load(script, outcome):
    with scripted(script) as endpoint:
        found = looked(endpoint.address, timeout_s=1.0)
    assert found.model == "scripted"
    assert f"a request to try it ended as {outcome}" in found.notes[-1]


def test_a_list_of_models_is_not_needed_when_one_is_named():
    for script in (Script(models_status=404), Script(models_status=500), Script(models_status=0)):
        with scripted(script) as endpoint:
            found = looked(endpoint.address, model="mine", timeout_s=2.0)
            assert found.model == "mine"
            assert found.notes[0].startswith("/models: ")
            with pytest.raises(EndpointAbsent):
                looked(endpoint.address, timeout_s=2.0)


def test_the_user_chooses_among_models():
    with scripted(Script(models=("one", "two"))) as endpoint:
        assert looked(endpoint.address, model="two").model == "two"
        with pytest.raises(EndpointAbsent, match="several models") as several:
            looked(endpoint.address)
        with pytest.raises(EndpointAbsent, match="no model 'three'") as missing:
            looked(endpoint.address, model="three")
    assert "one, two" in several.value.hint
    assert "one, two" in missing.value.hint


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (Script(needs_key="other"), "status 401"),
        (Script(models_status=403), "status 403"),
        (Script(models_status=404), "status 404"),
        (Script(models_status=307), "redirect"),
        (Script(way="status", status=404), "status 404"),
        (Script(way="status", status=308), "redirect"),
        (Script(way="not-http"), "not HTTP"),
    ],
)
def test_what_is_no_endpoint_is_told(script, says):
    with scripted(script) as endpoint, pytest.raises(EndpointAbsent, match=says) as caught:
        looked(endpoint.address, key=KEY)
    assert KEY not in str(caught.value)
    assert caught.value.hint


def test_nobody_listens_and_no_such_host():
    with pytest.raises(EndpointAbsent, match="no connection: Connection refused"):
        looked(nobody())
    with pytest.raises(EndpointAbsent, match=r"no connection|no answer"):
        looked("http://no-such-host.invalid/v1")


@pytest.mark.parametrize("way", ["silent", "keep-alives", "stuck", "endless"])
def test_it_never_hangs(way):
    begin = time.monotonic()
    with scripted(Script(way=way, models_status=0)) as endpoint:
        found = looked(endpoint.address, model="mine", timeout_s=0.8)
    assert found.notes
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8000", "ftp://host/v1", "http://", "http://host:0/v1", "http://host:99999/",
     "http://[::1/v1", "http://a b/v1", "http:///v1", "local", "http://a..b/v1", "http://127.1/v1"],
)  # fmt: skip
def test_an_address_that_is_no_url(address):
    with pytest.raises(BadOption):
        looked(address)


def test_user_password_query_and_key_never_come_back():
    with scripted() as endpoint:
        host = endpoint.address.removeprefix("http://")
        found = looked(f"http://someone:pass%20word@{host}?api-key=topsecret99")
        keyed = looked(endpoint.address, key=KEY)
    assert found.address == endpoint.address
    for secret in ("someone", "pass word", "pass%20word", "topsecret99", KEY):
        assert secret not in repr((found, keyed))
    first, last = endpoint.seen[0], endpoint.seen[-1]
    assert first.path == "/v1/models?api-key=topsecret99"
    assert first.headers["authorization"] == "Basic c29tZW9uZTpwYXNzIHdvcmQ="
    assert last.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str({**last.headers, "authorization": ""}) + str(last.body) + last.path


@pytest.mark.parametrize("key", ["two words", "line\nfeed", "schlüssel"])
def test_a_key_that_no_header_takes(key):
    with pytest.raises(BadOption) as caught:
        looked("http://127.0.0.1:1/v1", key=key)
    assert key not in str(caught.value)


def test_a_key_and_a_user_at_once():
    with pytest.raises(BadOption, match="both"):
        looked("http://someone:password@127.0.0.1:1/v1", key=KEY)
