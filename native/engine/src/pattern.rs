//! Paths of routes as web frameworks write them: literal text with `{name}` and `{name:convertor}` in it.

/// What a parameter of a path accepts within its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Convertor {
    /// Any text without a slash.
    Str,
    /// Decimal digits.
    Int,
    /// Decimal digits, possibly with a fraction.
    Float,
    /// A UUID with or without dashes.
    Uuid,
}

impl Convertor {
    /// Whether a whole segment is a value of this kind.
    pub fn accepts(self, segment: &str) -> bool {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::Str => !segment.is_empty(),
            Self::Int => digits(segment),
            Self::Float => match segment.split_once('.') {
                Some((whole, fraction)) => digits(whole) && digits(fraction),
                None => digits(segment),
            },
            Self::Uuid => is_uuid(segment),
        }
    }
}

/// 8-4-4-4-12 hexadecimal digits; each dash may be missing.
fn is_uuid(text: &str) -> bool {
    let mut rest = text.as_bytes();
    for (position, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if position > 0 && rest.first() == Some(&b'-') {
            rest = &rest[1..];
        }
        let Some((group, after)) = rest.split_at_checked(length) else {
            return false;
        };
        if !group.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this text.
    Literal(Box<str>),
    /// A parameter that takes the whole segment.
    Param(Convertor),
}

/// How a pattern goes on after its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It ends: the path has just these segments.
    End,
    /// A last parameter takes whatever follows the next slash, further slashes included.
    Tail,
    /// What follows is not understood here: any path that begins with the segments may fit, or not.
    Unknown,
}

/// A route's path, taken apart at its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The segments after the first slash.
    pub segments: Vec<Segment>,
    /// What follows them.
    pub rest: Rest,
    /// The parameters' names, from left to right, that of the tail included.
    pub names: Vec<String>,
}

/// More parameters in one path are left to the framework.
pub const MAX_PARAMS: usize = 8;

enum Part<'a> {
    Text(&'a str),
    Param(&'a str, &'a str),
}

impl Pattern {
    /// Reads a path with Starlette's syntax. What has no simple form (a parameter beside other text in one segment, an
    /// unknown convertor, text after a `path`) becomes [`Rest::Unknown`]. None when the path does not start with a slash.
    pub fn parse(path: &str) -> Option<Self> {
        if !path.starts_with('/') {
            return None;
        }
        let parts = parts(path);
        let mut pattern = Self {
            segments: Vec::new(),
            rest: Rest::End,
            names: Vec::new(),
        };
        // The text of the segment under way, and the parameter that it consists of.
        let mut text = String::new();
        let mut param: Option<Convertor> = None;
        let mut tail = false;
        let mut first = true;
        for part in &parts {
            match part {
                Part::Text(literal) => {
                    if tail {
                        return Some(pattern.cut());
                    }
                    for (position, piece) in literal.split('/').enumerate() {
                        if position > 0 {
                            // The path's own first slash opens the first segment.
                            if !std::mem::take(&mut first) {
                                pattern.close(&mut text, &mut param);
                            }
                        }
                        if !piece.is_empty() {
                            if param.is_some() {
                                return Some(pattern.cut());
                            }
                            text.push_str(piece);
                        }
                    }
                }
                Part::Param(name, convertor) => {
                    if tail || !text.is_empty() || param.is_some() {
                        return Some(pattern.cut());
                    }
                    pattern.names.push((*name).to_owned());
                    match *convertor {
                        "str" => param = Some(Convertor::Str),
                        "int" => param = Some(Convertor::Int),
                        "float" => param = Some(Convertor::Float),
                        "uuid" => param = Some(Convertor::Uuid),
                        "path" => tail = true,
                        _ => return Some(pattern.cut()),
                    }
                }
            }
        }
        if pattern.names.len() > MAX_PARAMS {
            pattern.segments.truncate(0);
            return Some(pattern.cut());
        }
        if tail {
            pattern.rest = Rest::Tail;
        } else {
            pattern.close(&mut text, &mut param);
        }
        Some(pattern)
    }

    /// Everything below `prefix`, as a mounted application takes it: `prefix/...`, but not `prefix` itself.
    pub fn below(prefix: &str) -> Option<Self> {
        Self::parse(&format!("{}/{{path:path}}", prefix.trim_end_matches('/')))
    }

    /// A pattern of which nothing is known: every path may fit.
    pub fn anything() -> Self {
        Self {
            segments: Vec::new(),
            rest: Rest::Unknown,
            names: Vec::new(),
        }
    }

    /// The path itself, when it has no parameters.
    pub fn literal(&self) -> Option<String> {
        if self.rest != Rest::End {
            return None;
        }
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => Some(format!("/{text}")),
                Segment::Param(_) => None,
            })
            .collect()
    }

    fn close(&mut self, text: &mut String, param: &mut Option<Convertor>) {
        self.segments.push(match param.take() {
            Some(convertor) => Segment::Param(convertor),
            None => Segment::Literal(std::mem::take(text).into()),
        });
    }

    fn cut(mut self) -> Self {
        self.rest = Rest::Unknown;
        self.names.clear();
        self
    }
}

/// Text and parameters in turn. Braces that hold no parameter are text.
fn parts(path: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(open) = path[at..].find('{').map(|offset| at + offset) {
        let Some((name, convertor, length)) = param(&path[open..]) else {
            at = open + 1;
            continue;
        };
        if open > from {
            parts.push(Part::Text(&path[from..open]));
        }
        parts.push(Part::Param(name, convertor));
        at = open + length;
        from = at;
    }
    if from < path.len() {
        parts.push(Part::Text(&path[from..]));
    }
    parts
}

/// `{name}` or `{name:convertor}` at the start of `text`: its name, its convertor and its length.
fn param(text: &str) -> Option<(&str, &str, usize)> {
    let close = text.find('}')?;
    let inside = &text[1..close];
    let (name, convertor) = inside.split_once(':').unwrap_or((inside, "str"));
    (is_name(name) && is_name(convertor)).then_some((name, convertor, close + 1))
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(path: &str) -> String {
        let pattern = Pattern::parse(path).unwrap();
        let mut shape: String = pattern
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::Param(convertor) => format!("/<{convertor:?}>"),
            })
            .collect();
        shape.push_str(match pattern.rest {
            Rest::End => "",
            Rest::Tail => "/**",
            Rest::Unknown => "?",
        });
        shape
    }

    #[test]
    fn a_path_is_taken_apart_at_its_slashes() {
        assert_eq!(shape("/"), "/");
        assert_eq!(shape("/users"), "/users");
        assert_eq!(shape("/users/"), "/users/");
        assert_eq!(shape("//a"), "//a");
        assert_eq!(shape("/users/{id}"), "/users/<Str>");
        assert_eq!(
            shape("/{a:int}/{b:float}/{c:uuid}/"),
            "/<Int>/<Float>/<Uuid>/"
        );
        assert_eq!(shape("/files/{rest:path}"), "/files/**");
        assert_eq!(shape("/{rest:path}"), "/**");
    }

    #[test]
    fn what_has_no_simple_form_is_cut_before_it() {
        assert_eq!(shape("/files/{name}.json"), "/files?");
        assert_eq!(shape("/a/b-{x}/c"), "/a?");
        assert_eq!(shape("/a/{x}{y}"), "/a?");
        assert_eq!(shape("/a/{rest:path}/end"), "/a?");
        assert_eq!(shape("/a/x{rest:path}"), "/a?");
        assert_eq!(shape("/a/{x:strange}"), "/a?");
        assert_eq!(shape("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"), "?");
    }

    #[test]
    fn braces_without_a_name_are_text() {
        assert_eq!(shape("/a{b"), "/a{b");
        assert_eq!(shape("/{}/x"), "/{}/x");
        assert_eq!(shape("/{1}/{a b}"), "/{1}/{a b}");
        assert_eq!(shape("/{{x}"), "?");
        assert_eq!(Pattern::parse("/{}").unwrap().literal().unwrap(), "/{}");
        assert!(Pattern::parse("users").is_none());
    }

    #[test]
    fn convertors_accept_what_their_expressions_do() {
        for (convertor, yes, no) in [
            (Convertor::Str, vec!["a", " "], vec![""]),
            (Convertor::Int, vec!["0", "007"], vec!["", "-1", "1.0", "٣"]),
            (
                Convertor::Float,
                vec!["1", "1.5"],
                vec!["1.", ".5", "1.5.2", "1e3"],
            ),
            (
                Convertor::Uuid,
                vec![
                    "12345678-1234-1234-1234-123456789abc",
                    "12345678123412341234123456789ABC",
                    "12345678-123412341234-123456789abc",
                ],
                vec!["12345678-1234-1234-1234-123456789abg", "1234-5678", ""],
            ),
        ] {
            assert!(
                yes.iter().all(|text| convertor.accepts(text)),
                "{convertor:?}"
            );
            assert!(
                !no.iter().any(|text| convertor.accepts(text)),
                "{convertor:?}"
            );
        }
    }
}
