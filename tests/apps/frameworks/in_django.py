"""The same small shop in Django, by WSGI and by ASGI."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseForbidden,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.security.SecurityMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
    LOGGING_CONFIG=None,
)
django.setup()


def root(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"shop": "caf\xe9", "open": True})


async def item(request: HttpRequest, item_id: int) -> HttpResponse:
    return JsonResponse({"id": item_id, "q": request.GET.getlist("q"), "url": request.build_absolute_uri()})


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="application/octet-stream")


def form(request: HttpRequest) -> HttpResponse:
    files = {name: [file.name, len(file.read())] for name, file in request.FILES.items()}
    return JsonResponse({"form": dict(request.POST), "files": files})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse((f"piece {number}\n" for number in range(5)), content_type="text/plain")


def headers(request: HttpRequest) -> HttpResponse:
    return JsonResponse({name: value for name, value in sorted(request.headers.items()) if name != "Host"})


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(request.COOKIES.get("a", "none"))
    response.set_cookie("b", "2", httponly=True)
    response.set_cookie("c", "3")
    return response


def bug(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug")


urlpatterns = [
    path("", root),
    path("items/<int:item_id>", item),
    path("echo", echo),
    path("form", form),
    path("stream", stream),
    path("headers", headers),
    path("cookies", cookies),
    path("old", lambda request: HttpResponseRedirect("/")),
    path("empty", lambda request: HttpResponse(status=204)),
    path("denied", lambda request: HttpResponseForbidden("no")),
    path("bug", bug),
]

wsgi = get_wsgi_application()
asgi = get_asgi_application()
