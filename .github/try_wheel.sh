#!/bin/sh
# Installs what FOLDER holds for this interpreter into a new environment, and uses it there: try_wheel.sh PYTHON FOLDER
set -eu
python=$1
folder=$(cd "$2" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --no-index --no-deps --find-links "$folder" pytest-fastr 2>/dev/null ||
    "$place/venv/bin/python" -m pip install --quiet --no-deps "$folder"/*.tar.gz
"$place/venv/bin/python" -m pip install --quiet 'pytest>=8' 'rich>=13' 'tomli>=2; python_version < "3.11"'

# Out of the checkout, which would be imported instead.
cd "$place"
cat > app.py <<'APP'
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
APP
cat > test_app.py <<'TEST'
def test_root(perf):
    perf.get("/")
TEST
printf '[tool.pytest-fastr]\napp = "app:app"\nduration = "600ms"\nepochs = 3\n' > pyproject.toml

venv/bin/pytest-fastr profile
env -u CI venv/bin/python -m pytest --perf --perf-report=report.html -p no:cacheprovider
grep -q '</html>' report.html
