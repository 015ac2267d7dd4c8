//! What is to be sent, where, and how.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use fastr_loadgen::{Address, Arrivals, Expect, Profile, Think};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// One HTTP/1.1 request, as the bytes on the wire.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Request(pub(crate) fastr_loadgen::Request);

#[pymethods]
impl Request {
    #[new]
    fn new(name: String, wire: Vec<u8>, head: bool, status: Option<u16>) -> Self {
        let expect = status.map_or(Expect::StatusClass, Expect::Status);
        Self(fastr_loadgen::Request {
            name,
            bytes: wire,
            head,
            expect,
        })
    }
}

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

    #[new]
    fn new(host: &str, port: u16, pids: Vec<i32>) -> PyResult<Self> {
        let ip: IpAddr = host.parse().map_err(|_| {
            PyValueError::new_err(format!("{host:?} is no IP address: resolve the name first"))
        })?;
        Ok(Self(fastr_loadgen::Target {
            addr: SocketAddr::new(ip, port).into(),
            pids,
        }))
    }
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
