//! How long requests took, by route: histograms in the text format that Prometheus reads.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;

/// The upper bounds of the buckets, in seconds; above the last one is one more.
const BOUNDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

const NAME: &str = "http_request_duration_seconds";

/// The requests of one method that were answered with one status.
#[derive(Debug, Default)]
struct Series {
    buckets: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

/// The requests of one route.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    series: Mutex<BTreeMap<(&'static str, u16), Series>>,
}

/// The requests of an application, by the path of the route that took them.
#[derive(Debug, Default)]
pub struct Metrics {
    routes: Mutex<BTreeMap<String, Arc<RouteMetrics>>>,
}

impl RouteMetrics {
    /// Counts a request that was answered.
    pub(crate) fn record(&self, method: &Method, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        let mut all = lock(&self.series);
        let series = all.entry((label(method), status)).or_default();
        series.buckets[bucket] += 1;
        series.sum += took;
    }
}

impl Metrics {
    /// The counters of the routes with this path, which are made when it is new.
    pub fn route(&self, path: &str) -> Arc<RouteMetrics> {
        let mut routes = lock(&self.routes);
        if let Some(known) = routes.get(path) {
            return known.clone();
        }
        let made = Arc::<RouteMetrics>::default();
        routes.insert(path.to_owned(), made.clone());
        made
    }

    /// All of it as text, version 0.0.4 of the format.
    /// Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>
    pub fn text(&self) -> String {
        let mut text = format!(
            "# HELP {NAME} Time from the head of a request to the end of its response.\n\
             # TYPE {NAME} histogram\n"
        );
        for (path, route) in &*lock(&self.routes) {
            let path = escaped(path);
            for ((method, status), series) in &*lock(&route.series) {
                let labels = format!("method=\"{method}\",route=\"{path}\",status=\"{status}\"");
                series.write(&mut text, &labels);
            }
        }
        text
    }
}

impl Series {
    fn write(&self, text: &mut String, labels: &str) {
        let mut count = 0;
        for (index, held) in self.buckets.iter().enumerate() {
            count += held;
            let bound = BOUNDS
                .get(index)
                .map_or_else(|| "+Inf".to_owned(), f64::to_string);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "{NAME}_sum{{{labels}}} {}", self.sum.as_secs_f64());
        let _ = writeln!(text, "{NAME}_count{{{labels}}} {count}");
    }
}

/// A method as a label: clients may invent methods, and each label costs memory for good.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "TRACE" => "TRACE",
        _ => "other",
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_belong_to_theirs() {
        let metrics = Metrics::default();
        let route = metrics.route("/a");
        for micros in [1, 100, 101, 20_000_000] {
            route.record(&Method::GET, 200, Duration::from_micros(micros));
        }
        metrics
            .route("/a")
            .record(&Method::GET, 500, Duration::from_millis(1));
        let text = metrics.text();
        let has = |line: &str| assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        let ok = "method=\"GET\",route=\"/a\",status=\"200\"";
        has(&format!("{NAME}_bucket{{{ok},le=\"0.0001\"}} 2"));
        has(&format!("{NAME}_bucket{{{ok},le=\"0.00025\"}} 3"));
        has(&format!("{NAME}_bucket{{{ok},le=\"10\"}} 3"));
        has(&format!("{NAME}_bucket{{{ok},le=\"+Inf\"}} 4"));
        has(&format!("{NAME}_count{{{ok}}} 4"));
        has(&format!("{NAME}_sum{{{ok}}} 20.000202"));
        has(&format!(
            "{NAME}_count{{method=\"GET\",route=\"/a\",status=\"500\"}} 1"
        ));
    }

    #[test]
    fn labels_are_bounded_and_escaped() {
        let metrics = Metrics::default();
        let odd = metrics.route("/\"\\\n");
        for number in 0..100 {
            let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
            odd.record(&method, 200, Duration::ZERO);
        }
        let text = metrics.text();
        assert!(text.contains(r#"method="other",route="/\"\\\n",status="200""#));
        assert_eq!(text.matches("_count{").count(), 1);
    }
}
