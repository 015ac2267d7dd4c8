//! The fast-path classifier: what of a framework's work a route can do without.
//!
//! A route is described by [`Fact`]s. Each allows lanes up to some point; the least that any of them allows is the
//! route's lane, and those that allow no more are the reason why it has no better one.

use std::fmt;

/// A way to serve a route, the fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Nothing is read from the request.
    Fast,
    /// Scalars from path, query, headers and cookies, converted by the engine.
    Typed,
    /// Validation by the framework's validators, or its route called without the stack around it.
    Full,
    /// The application as a whole, by its own code.
    Asgi,
}

impl Lane {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Typed => "typed",
            Self::Full => "full",
            Self::Asgi => "asgi",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident, $key:literal, $lane:ident, $sentence:literal;)*) => {
        /// Something about a route that decides on its lane.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fact { $($(#[$doc])* $name,)* }

        impl Fact {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name by which a compiler of routes speaks of it.
            pub fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// The best lane that it allows.
            pub fn allows(self) -> Lane {
                match self { $(Self::$name => Lane::$lane,)* }
            }

            /// The sentence for users; `{}` stands for what it is about.
            fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

facts! {
    /// A scalar parameter that the engine converts.
    ScalarParam, "scalar_param", Typed, "reads parameter {}";
    /// A parameter that only the framework's validator understands.
    ValidatedParam, "validated_param", Full, "parameter {} is validated by pydantic";
    /// A JSON body.
    JsonBody, "json_body", Full, "reads a JSON body";
    /// A form, files, or several bodies in one.
    OtherBody, "other_body", Full, "{} is read by FastAPI";
    /// Dependencies.
    Dependency, "dependency", Full, "depends on {}";
    /// The handler wants the request, the response or background tasks.
    Injected, "injected", Full, "parameter {} is made by FastAPI";
    /// A model of parameters, or another parameter without a simple form.
    OtherParam, "other_param", Full, "parameter {} is read by FastAPI";
    /// What it answers is built by the framework.
    Response, "response", Full, "its response ({}) is built by FastAPI";
    /// Not a route of the framework as it ships.
    ForeignRoute, "foreign_route", Asgi, "is a {}";
    /// Its path cannot be told from those before it.
    Path, "path", Asgi, "its path {}";
    /// A middleware that native routes can do with, but routes that FastAPI serves can not.
    KnownLayer, "known_layer", Fast, "behind {}";
    /// A middleware that the engine does not know.
    Middleware, "middleware", Asgi, "the app has the middleware {}";
    /// Something that watches every request.
    Observer, "observer", Asgi, "the app has {}";
    /// The framework is not as the compiler knows it.
    Unknown, "unknown", Asgi, "{}";
}

impl Fact {
    /// The fact of that name.
    pub fn named(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fact| fact.key() == key)
    }
}

/// A fact and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The fact.
    pub fact: Fact,
    /// A parameter's name, a class...
    pub about: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fact.sentence().replacen("{}", &self.about, 1))
    }
}

/// The best lane that all findings allow, and those that allow no better one.
pub fn classify(findings: &[Finding]) -> (Lane, Vec<&Finding>) {
    let lane = findings
        .iter()
        .map(|finding| finding.fact.allows())
        .max()
        .unwrap_or(Lane::Fast);
    let reasons = findings
        .iter()
        .filter(|finding| lane > Lane::Fast && finding.fact.allows() == lane)
        .collect();
    (lane, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(fact: Fact, about: &str) -> Finding {
        Finding {
            fact,
            about: about.to_owned(),
        }
    }

    #[test]
    fn a_route_without_findings_is_fast() {
        assert_eq!(classify(&[]), (Lane::Fast, vec![]));
        let layer = [finding(Fact::KnownLayer, "CORSMiddleware")];
        assert_eq!(classify(&layer), (Lane::Fast, vec![]));
    }

    #[test]
    fn the_least_that_is_allowed_decides_and_is_the_reason() {
        let findings = [
            finding(Fact::ScalarParam, "'q'"),
            finding(Fact::JsonBody, ""),
            finding(Fact::Dependency, "get_db"),
        ];
        let (lane, reasons) = classify(&findings);
        let sentences: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        assert_eq!(lane, Lane::Full);
        assert_eq!(sentences, ["reads a JSON body", "depends on get_db"]);
        assert_eq!(classify(&findings[..1]).0, Lane::Typed);
    }

    #[test]
    fn every_fact_has_a_name_of_its_own() {
        for &fact in Fact::ALL {
            assert_eq!(Fact::named(fact.key()), Some(fact));
        }
        assert_eq!(Fact::named("nonsense"), None);
    }
}
