"""Without --perf a perf test is an ordinary test: one real request of each kind."""

from __future__ import annotations

import pytest

from support.project import FAST, Project


def test_a_perf_test_makes_one_real_request_and_passes(project: Project) -> None:
    project.test(
        """
        def test_items(perf):
            result = perf.get("/items")
            assert result.status == 200
            assert result.errors == 0
        """
    )
    project.run().assert_outcomes(passed=1)


def test_reading_a_number_skips_the_rest_of_the_test(project: Project) -> None:
    project.test(
        """
        def test_items(perf):
            assert perf.get("/items").rps > 0
            raise AssertionError("not reached")
        """
    )
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs --perf*"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('perf.get("/broken")', "*1 x 500 Internal Server Error instead of 200 OK*"),
        ('perf.get("/items", expect=201)', "*1 x 200 OK instead of 201 Created*"),
        ('perf.get("items")', "*path 'items' must start with '/'*"),
        ('perf.get("/items", expect=99)', "*write the status code of a good answer*"),
        ('perf.post("/items", json={1, 2})', "*json= cannot be written as JSON*"),
        ('perf.post("/items", json=1, data="x")', "*give json= or data=, not both*"),
        ('perf.get("/items", headers={"a b": "c"})', "*header name 'a b' is not allowed in HTTP*"),
        ('perf.get("/items", headers={"a": "b\\nc"})', "*control character*"),
        ('perf.request("GE T", "/items")', "*'GE T' is no HTTP method*"),
        ('perf.get("/a"); perf.get("/a")', "*measures 'GET /a' twice: tell them apart by name=*"),
    ],
)
def test_what_cannot_be_right_fails_in_words(project: Project, call: str, words: str) -> None:
    project.test(f"def test_items(perf):\n    {call}\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([words])


def test_requests_carry_what_the_test_gave(project: Project) -> None:
    project.write(
        "echo.py",
        """
        import json

        async def app(scope, receive, send):
            assert scope["type"] == "http"
            message = await receive()
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            seen = [scope["method"], scope["raw_path"].decode(), scope["query_string"].decode(),
                    headers.get("x-key"), headers.get("content-type"), message["body"].decode()]
            good = seen in json.load(open("expected.json"))
            await send({"type": "http.response.start", "status": 200 if good else 400, "headers": []})
            await send({"type": "http.response.body", "body": repr(seen).encode()})
        """,
    )
    project.write(
        "expected.json",
        """
        [["POST", "/o%20r/%C3%A4", "a=1&b=x+y", "v", "application/json", "{\\"n\\":[1,2]}"],
         ["PUT", "/form", "", null, "application/x-www-form-urlencoded", "a=1&b=%26"],
         ["PATCH", "/text", "q=2", null, "text/plain; charset=utf-8", "hello"],
         ["DELETE", "/bytes", "", null, "application/octet-stream", "\\u0001"],
         ["HEAD", "/", "", null, null, ""]]
        """,
    )
    project.test(
        """
        import pytest

        @pytest.mark.perf(app="echo:app")
        def test_echo(perf):
            perf.post("/o r/ä", params={"a": 1, "b": "x y"}, headers={"x-key": "v"}, json={"n": [1, 2]})
            perf.put("/form", data={"a": 1, "b": "&"})
            perf.patch("/text?q=2", data="hello")
            perf.delete("/bytes", data=bytes([1]))
            perf.head("/")
        """
    )
    project.run().assert_outcomes(passed=1)


def test_perf_server_is_the_base_url_of_the_application(project: Project) -> None:
    project.test(
        """
        from urllib.request import urlopen

        def test_items(perf_server):
            assert urlopen(perf_server + "/items").read() == b"ok"
        """
    )
    project.run().assert_outcomes(passed=1)


def test_the_perf_fixture_marks_its_tests(project: Project) -> None:
    project.test("def test_a(perf):\n    perf.get('/')\n\ndef test_b():\n    pass\n")
    project.run("-m", "perf").assert_outcomes(passed=1, deselected=1)


def test_objects_names_factories_and_parameters_work_in_one_session(project: Project) -> None:
    project.test(
        """
        import pytest

        def make(body):
            async def app(scope, receive, send):
                if scope["type"] != "http":
                    raise RuntimeError("no lifespan")
                await send({"type": "http.response.start", "status": 200 if scope["path"] == body else 418,
                            "headers": []})
                await send({"type": "http.response.body", "body": b""})
            return app

        @pytest.fixture(scope="module")
        def one():
            return make("/one")

        @pytest.fixture
        def perf_app(one):
            return one

        def test_object_of_a_wider_fixture(perf):
            perf.get("/one")

        class TestOther:
            @pytest.fixture
            def perf_app(self, monkeypatch):
                return make("/two")

            def test_another_object(self, perf, perf_server):
                perf.get("/two")

        @pytest.mark.perf(app="shop:app")
        @pytest.mark.parametrize("path", ["/a", "/b"])
        def test_name(perf, path):
            perf.get(path)

        @pytest.mark.perf(app="shop:create_app()")
        def test_factory(perf):
            perf.get("/")
        """
    )
    project.run().assert_outcomes(passed=5)


def test_a_threaded_process_cannot_fork_an_object_and_says_the_way_out(project: Project) -> None:
    project.test(
        """
        import threading
        import pytest

        @pytest.fixture
        def perf_app():
            async def app(scope, receive, send):
                pass
            stop = threading.Event()
            thread = threading.Thread(target=stop.wait, name="busy-bee")
            thread.start()
            yield app
            stop.set()
            thread.join()

        def test_items(perf):
            perf.get("/")
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*do not survive a fork*busy-bee*module:attr*"])


WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]
"""


def test_a_wsgi_application_is_tested_like_any_other(project: Project) -> None:
    project.write("shop.py", WSGI)
    project.test('def test_items(perf):\n    assert perf.get("/items").status == 200\n')
    project.run().assert_outcomes(passed=1)


def test_a_wsgi_application_is_measured_like_any_other(project: Project) -> None:
    project.write("shop.py", WSGI)
    project.test('def test_items(perf):\n    perf.get("/items")\n')
    result, tests = project.results()
    result.assert_outcomes(passed=1)
    assert tests[0]["verdict"] == "new"
    assert tests[0]["rps"] > 0


def test_an_option_names_the_app_where_no_test_does(project: Project) -> None:
    project.configure(FAST.replace('app = "shop:app"', 'app = "nowhere:app"'))
    project.test("def test_it(perf):\n    assert perf.get('/').status == 200\n")
    project.run("--perf-app", "shop:create_app()").assert_outcomes(passed=1)
