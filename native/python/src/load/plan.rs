//! What is to be sent, where, and how.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use fastr_loadgen::{Address, Arrivals, LoadError, Profile, Roots, Think, Tls};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A server: its address and its processes.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Target(pub(crate) fastr_loadgen::Target);

#[pymethods]
impl Target {
    #[staticmethod]
    fn unix(path: PathBuf, pids: Vec<i32>) -> Self {
        Self(fastr_loadgen::Target {
            addr: Address::Unix(path),
            pids,
        })
    }

    #[staticmethod]
    #[pyo3(signature = (host, port, pids, *, name, roots=None, verify=true))]
    fn tls(
        host: &str,
        port: u16,
        pids: Vec<i32>,
        name: &str,
        roots: Option<Vec<u8>>,
        verify: bool,
    ) -> PyResult<Self> {
        let roots = match (verify, roots) {
            (false, _) => Roots::Unverified,
            (true, Some(pem)) => Roots::Pem(pem),
            (true, None) => Roots::System,
        };
        let tls = Tls::new(name, &roots).map_err(value_error)?;
        let addr = Address::Tls(socket_addr(host, port)?, tls);
        Ok(Self(fastr_loadgen::Target { addr, pids }))
    }

    #[new]
    fn new(host: &str, port: u16, pids: Vec<i32>) -> PyResult<Self> {
        let addr = socket_addr(host, port)?.into();
        Ok(Self(fastr_loadgen::Target { addr, pids }))
    }
}

fn socket_addr(host: &str, port: u16) -> PyResult<SocketAddr> {
    let ip: IpAddr = host.parse().map_err(|_| {
        PyValueError::new_err(format!("{host:?} is no IP address: resolve the name first"))
    })?;
    Ok(SocketAddr::new(ip, port))
}

/// What a plan is refused for.
pub(super) fn value_error(error: LoadError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// How requests are sent.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct ConnectionPlan {
    pub(super) connections: usize,
    pub(super) keep_alive: bool,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
}

#[pymethods]
impl ConnectionPlan {
    #[new]
    fn new(
        connections: usize,
        keep_alive: bool,
        connect_timeout: f64,
        request_timeout: f64,
    ) -> PyResult<Self> {
        Ok(Self {
            connections,
            keep_alive,
            connect_timeout: seconds(connect_timeout, "connect_timeout")?,
            request_timeout: seconds(request_timeout, "request_timeout")?,
        })
    }
}

/// How load is offered.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Pacing(pub(super) fastr_loadgen::Pacing);

#[pymethods]
impl Pacing {
    #[staticmethod]
    #[pyo3(signature = (*, users=None, think=None))]
    fn closed(users: Option<Stages>, think: Option<(f64, f64)>) -> PyResult<Self> {
        let think = match think {
            None => Think::Never,
            Some((from, to)) => Think::Uniform(seconds(from, "think")?, seconds(to, "think")?),
        };
        let users = users.map(profile).transpose()?;
        Ok(Self(fastr_loadgen::Pacing::Closed { users, think }))
    }

    #[staticmethod]
    #[pyo3(signature = (rate, *, poisson=false, most_queued=None))]
    fn open(rate: Stages, poisson: bool, most_queued: Option<u64>) -> PyResult<Self> {
        let arrivals = match poisson {
            true => Arrivals::Poisson,
            false => Arrivals::Even,
        };
        Ok(Self(fastr_loadgen::Pacing::Open {
            rate: profile(rate)?,
            arrivals,
            most_queued,
        }))
    }
}

/// A starting value, and the seconds and the target of each stage.
type Stages = (f64, Vec<(f64, f64)>);

fn profile((from, stages): Stages) -> PyResult<Profile> {
    let stages: Vec<(Duration, f64)> = stages
        .into_iter()
        .map(|(length, to)| Ok((seconds(length, "a stage")?, to)))
        .collect::<PyResult<_>>()?;
    Ok(match stages.is_empty() {
        true => Profile::constant(from),
        false => Profile::stages(from, &stages),
    })
}

pub(super) fn seconds(value: f64, what: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        PyValueError::new_err(format!("{what} must be a number of seconds, not {value}"))
    })
}
