//! Finds who answers a request: a constant route, or the mount with the longest matching prefix.
//!
//! Both tables are papaya maps: reads take no lock, and routes may be added while the server serves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rustc_hash::FxBuildHasher;

use crate::{App, EngineError, Mount};

/// A response known beforehand, served without asking any application.
#[derive(Debug, Clone)]
pub struct ConstantRoute {
    /// The status line's code.
    pub status: StatusCode,
    /// All headers but `date` and `content-length`, which the engine adds.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl ConstantRoute {
    /// Checks and builds a route from raw parts.
    pub fn new(
        status: u16,
        headers: &[(Vec<u8>, Vec<u8>)],
        body: Vec<u8>,
    ) -> Result<Self, EngineError> {
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.as_u16() >= 200)
            .ok_or_else(|| {
                EngineError::Route(format!("{status} is not a final HTTP status code"))
            })?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let text = String::from_utf8_lossy(name).into_owned();
            let name = HeaderName::from_bytes(name)
                .map_err(|_| EngineError::Route(format!("invalid header name {text:?}")))?;
            let value = HeaderValue::from_bytes(value)
                .map_err(|_| EngineError::Route(format!("invalid value of header {text:?}")))?;
            map.try_append(name, value)
                .map_err(|_| EngineError::Route("too many headers".to_owned()))?;
        }
        map.remove(http::header::CONTENT_LENGTH);
        map.remove(http::header::TRANSFER_ENCODING);
        Ok(Self {
            status,
            headers: map,
            body: Bytes::from(body),
        })
    }
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub enum Routed {
    /// A response known beforehand.
    Constant(Arc<ConstantRoute>),
    /// An application.
    Mount(Arc<Mount>),
    /// Nobody.
    NotFound,
}

/// The constant routes of one path.
type ByMethod = Vec<(Method, Arc<ConstantRoute>)>;

/// The two routing tables of one server.
#[derive(Debug, Default)]
pub struct Router {
    constants: papaya::HashMap<Box<str>, Arc<ByMethod>, FxBuildHasher>,
    has_constants: AtomicBool,
    mounts: papaya::HashMap<Box<str>, Arc<Mount>, FxBuildHasher>,
}

impl Router {
    /// An empty router: every request is answered with 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `route` for exactly this method and literal (undecoded) path. Replaces an earlier one.
    pub fn add_constant(
        &self,
        method: &str,
        path: &str,
        route: ConstantRoute,
    ) -> Result<(), EngineError> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| EngineError::Route(format!("invalid HTTP method {method:?}")))?;
        if !path.starts_with('/') {
            return Err(EngineError::Route(format!(
                "path {path:?} does not start with '/'"
            )));
        }
        let route = Arc::new(route);
        self.constants.pin().update_or_insert_with(
            path.into(),
            |methods| {
                let mut methods: Vec<_> = methods
                    .iter()
                    .filter(|(known, _)| *known != method)
                    .cloned()
                    .collect();
                methods.push((method.clone(), route.clone()));
                Arc::new(methods)
            },
            || Arc::new(vec![(method.clone(), route.clone())]),
        );
        self.has_constants.store(true, Ordering::Release);
        Ok(())
    }

    /// Sends everything at or below `prefix` to `app`. An empty prefix or `/` is the root.
    pub fn mount(&self, prefix: &str, app: Arc<dyn App>) -> Result<(), EngineError> {
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(EngineError::Route(format!(
                "mount prefix {prefix:?} does not start with '/'"
            )));
        }
        self.mounts.pin().insert(
            prefix.into(),
            Arc::new(Mount {
                prefix: prefix.into(),
                app,
            }),
        );
        Ok(())
    }

    /// Finds who answers. A path that has constant routes, but none for this method, falls through to the mounts.
    pub fn route(&self, method: &Method, path: &str) -> Routed {
        if self.has_constants.load(Ordering::Acquire) {
            let constants = self.constants.pin();
            if let Some((_, route)) = constants
                .get(path)
                .and_then(|methods| methods.iter().find(|(known, _)| known == method))
            {
                return Routed::Constant(route.clone());
            }
        }
        let mounts = self.mounts.pin();
        if mounts.len() == 1 {
            if let Some(root) = mounts.get("") {
                return Routed::Mount(root.clone());
            }
        }
        let mut prefix = path;
        loop {
            if let Some(mount) = mounts.get(prefix) {
                return Routed::Mount(mount.clone());
            }
            prefix = match prefix.rfind('/') {
                Some(slash) => &prefix[..slash],
                // "*" has no slash and still reaches an application at the root.
                None if !prefix.is_empty() => "",
                None => return Routed::NotFound,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exchange;

    struct Nobody;
    impl App for Nobody {
        fn call(&self, _: Arc<Exchange>) {}
    }

    fn prefix(router: &Router, path: &str) -> Option<String> {
        match router.route(&Method::GET, path) {
            Routed::Mount(mount) => Some(mount.prefix.to_string()),
            _ => None,
        }
    }

    #[test]
    fn the_longest_mounted_prefix_wins_and_only_at_segment_borders() {
        let router = Router::new();
        for mounted in ["", "/api", "/api/v2/"] {
            router.mount(mounted, Arc::new(Nobody)).unwrap();
        }
        assert_eq!(prefix(&router, "/api/v2/items").unwrap(), "/api/v2");
        assert_eq!(prefix(&router, "/api/v2").unwrap(), "/api/v2");
        assert_eq!(prefix(&router, "/api/v20").unwrap(), "/api");
        assert_eq!(prefix(&router, "/apish").unwrap(), "");
        assert_eq!(prefix(&router, "*").unwrap(), "");
    }

    #[test]
    fn a_single_mount_below_a_prefix_leaves_the_rest_unanswered() {
        let router = Router::new();
        router.mount("/api", Arc::new(Nobody)).unwrap();
        assert_eq!(prefix(&router, "/api/items").unwrap(), "/api");
        assert_eq!(prefix(&router, "/apish"), None);
        assert_eq!(prefix(&router, "/"), None);
    }

    #[test]
    fn a_constant_route_answers_its_method_only() {
        let router = Router::new();
        router.mount("", Arc::new(Nobody)).unwrap();
        router
            .add_constant(
                "GET",
                "/ping",
                ConstantRoute::new(200, &[], b"pong".to_vec()).unwrap(),
            )
            .unwrap();
        assert!(matches!(
            router.route(&Method::GET, "/ping"),
            Routed::Constant(_)
        ));
        assert!(matches!(
            router.route(&Method::POST, "/ping"),
            Routed::Mount(_)
        ));
        assert!(matches!(
            router.route(&Method::GET, "/ping/"),
            Routed::Mount(_)
        ));
    }

    #[test]
    fn what_http_cannot_say_is_refused() {
        assert!(ConstantRoute::new(99, &[], vec![]).is_err());
        assert!(ConstantRoute::new(200, &[(b"a b".to_vec(), vec![])], vec![]).is_err());
        assert!(ConstantRoute::new(200, &[(b"a".to_vec(), b"\n".to_vec())], vec![]).is_err());
        let router = Router::new();
        let route = || ConstantRoute::new(200, &[], vec![]).unwrap();
        assert!(router.add_constant("G T", "/", route()).is_err());
        assert!(router.add_constant("GET", "ping", route()).is_err());
        assert!(router.mount("api", Arc::new(Nobody)).is_err());
    }
}
