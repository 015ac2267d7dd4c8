//! ASGI over an engine's websockets: scope, events and `send`. Its `receive` is that of requests.

use std::sync::Arc;

use fastr_engine::{
    Message, RequestHead, SocketError, SocketEvent, SocketFinish, SocketStage, Utf8Bytes, WebSocket,
};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::exchange::{AsgiApp, AsgiExchange};
use super::messages::{body, bytes_of, headers, optional, until_room};
use super::scope::build_common_scope;
use super::Receive;

pyo3::create_exception!(
    pytest_fastr._native,
    ClientDisconnected,
    PyOSError,
    "Raised by a websocket's send when the client is gone."
);

/// Has the application serve a websocket.
pub(super) fn start_websocket(
    py: Python<'_>,
    exchange: &Arc<AsgiExchange>,
    socket: &Arc<WebSocket>,
) -> PyResult<()> {
    let app = &exchange.app;
    let scope = build_websocket_scope(py, app, socket.head())?;
    let receive = Receive(exchange.clone());
    let send = WebsocketSend {
        exchange: exchange.clone(),
        socket: socket.clone(),
    };
    app.start.bind(py).call1((scope, receive, send))?;
    Ok(())
}

/// Builds the scope, as the ASGI WebSocket specification 2.4 says.
fn build_websocket_scope<'py>(
    py: Python<'py>,
    app: &AsgiApp,
    head: &RequestHead,
) -> PyResult<Bound<'py, PyDict>> {
    let template = app.websocket_template.as_ref().unwrap_or(&app.template);
    let scope = build_common_scope(py, app, template, head)?;
    if head.secure {
        scope.set_item(intern!(py, "scheme"), intern!(py, "wss"))?;
    }
    let subprotocols = PyList::empty(py);
    for value in head.headers.get_all("sec-websocket-protocol") {
        for name in value.as_bytes().split(|&byte| byte == b',') {
            subprotocols.append(String::from_utf8_lossy(name.trim_ascii()))?;
        }
    }
    scope.set_item(intern!(py, "subprotocols"), subprotocols)?;
    // An application may add to its own.
    if let Some(extensions) = scope.get_item(intern!(py, "extensions"))? {
        let own = extensions.call_method0(intern!(py, "copy"))?;
        scope.set_item(intern!(py, "extensions"), own)?;
    }
    Ok(scope)
}

/// The ASGI message for an event.
pub(super) fn event_message(py: Python<'_>, event: SocketEvent) -> PyResult<Py<PyAny>> {
    let message = PyDict::new(py);
    let kind = match &event {
        SocketEvent::Connect => intern!(py, "websocket.connect"),
        SocketEvent::Message(_) => intern!(py, "websocket.receive"),
        SocketEvent::Disconnect { .. } => intern!(py, "websocket.disconnect"),
    };
    message.set_item(intern!(py, "type"), kind)?;
    match event {
        SocketEvent::Connect => {}
        SocketEvent::Message(Message::Text(text)) => {
            message.set_item(intern!(py, "text"), text.as_str())?;
        }
        SocketEvent::Message(Message::Binary(bytes)) => {
            message.set_item(intern!(py, "bytes"), PyBytes::new(py, &bytes))?;
        }
        SocketEvent::Disconnect { code, reason } => {
            message.set_item(intern!(py, "code"), code)?;
            message.set_item(intern!(py, "reason"), reason)?;
        }
    }
    Ok(message.into_any().unbind())
}

/// ASGI's `send` of one websocket, and its end.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct WebsocketSend {
    exchange: Arc<AsgiExchange>,
    socket: Arc<WebSocket>,
}

#[pymethods]
impl WebsocketSend {
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kind = message.get_item(intern!(py, "type"))?;
        let kind = kind.cast::<PyString>()?.to_string_lossy();
        let stage = self.socket.stage();
        if stage != SocketStage::Closed && self.socket.is_disconnected() {
            return Err(socket_error(SocketError::Disconnected));
        }
        match (stage, &*kind) {
            (SocketStage::Connecting, "websocket.accept") => self.accept(message)?,
            (SocketStage::Connecting | SocketStage::Open, "websocket.close") => {
                self.close(message)?;
            }
            (SocketStage::Connecting, "websocket.http.response.start") => self.deny(message)?,
            (SocketStage::Denying, "websocket.http.response.body") => {
                let (bytes, more) = body(message)?;
                self.socket.deny_body(bytes, more).map_err(socket_error)?;
            }
            (SocketStage::Open, "websocket.send") => {
                self.socket.send(outgoing(message)?).map_err(socket_error)?;
            }
            (stage, other) => return Err(unexpected(stage, other)),
        }
        let room = self.exchange.poll(|cx| self.socket.poll_room(cx));
        until_room(py, &self.exchange, room)
    }

    /// The application is done, or has `failed`. Returns what was wrong with its answer, or None.
    #[pyo3(signature = (failed=false))]
    fn finish(&self, failed: bool) -> Option<&'static str> {
        match self.socket.finish(failed) {
            SocketFinish::Closed => None,
            SocketFinish::NotAccepted => {
                Some("ASGI application returned without accepting or denying the websocket")
            }
            SocketFinish::Incomplete => {
                Some("ASGI application returned without completing its denial of the websocket")
            }
        }
    }
}

impl WebsocketSend {
    fn accept(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let subprotocol: Option<String> =
            match optional(message, intern!(message.py(), "subprotocol"))? {
                Some(name) => name.extract()?,
                None => None,
            };
        // As under uvicorn: an empty one is none.
        let subprotocol = subprotocol.as_deref().filter(|name| !name.is_empty());
        let headers = headers(message)?;
        let fields = headers.iter().map(|(name, value)| (&**name, &**value));
        self.socket
            .accept(subprotocol, fields)
            .map_err(socket_error)
    }

    fn deny(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let status: u16 = message
            .get_item(intern!(message.py(), "status"))?
            .extract()?;
        let headers = headers(message)?;
        let fields = headers.iter().map(|(name, value)| (&**name, &**value));
        self.socket.deny(status, fields).map_err(socket_error)
    }

    fn close(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = message.py();
        let code: Option<u32> = match optional(message, intern!(py, "code"))? {
            Some(code) => code.extract()?,
            None => None,
        };
        let reason: Option<String> = match optional(message, intern!(py, "reason"))? {
            Some(reason) => reason.extract()?,
            None => None,
        };
        self.socket
            .close(code.unwrap_or(1000), &reason.unwrap_or_default())
            .map_err(socket_error)
    }
}

/// The message of a `websocket.send`: its bytes, or else its text.
fn outgoing(message: &Bound<'_, PyAny>) -> PyResult<Message> {
    let py = message.py();
    let given = |key| PyResult::Ok(optional(message, key)?.filter(|value| !value.is_none()));
    if let Some(bytes) = given(intern!(py, "bytes"))? {
        let bytes = bytes_of(&bytes, "the 'bytes' of 'websocket.send'")?;
        return Ok(Message::Binary(bytes));
    }
    let Some(text) = given(intern!(py, "text"))? else {
        return Err(PyTypeError::new_err(
            "'websocket.send' needs 'bytes' or 'text'",
        ));
    };
    let text = text
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err("the 'text' of 'websocket.send' must be str"))?;
    Ok(Message::Text(Utf8Bytes::from(text.to_str()?)))
}

fn unexpected(stage: SocketStage, kind: &str) -> PyErr {
    let expected = match stage {
        SocketStage::Connecting => {
            "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'"
        }
        SocketStage::Open => "'websocket.send' or 'websocket.close'",
        SocketStage::Denying => "'websocket.http.response.body'",
        SocketStage::Closed => {
            return PyRuntimeError::new_err(format!(
            "Unexpected ASGI message '{kind}', after sending 'websocket.close' or a whole denial"
        ))
        }
    };
    PyRuntimeError::new_err(format!(
        "Expected ASGI message {expected}, but got '{kind}'"
    ))
}

fn socket_error(error: SocketError) -> PyErr {
    match error {
        SocketError::Disconnected => ClientDisconnected::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}
