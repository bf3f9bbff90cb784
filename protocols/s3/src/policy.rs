//! Bucket policies: read, and decided on.

use crate::policy_condition::Condition;
use s3s::{S3Result, s3_error};
use serde_json::Value;

/// Bytes of a policy.
const BYTES_MAX: usize = 20 * 1024;
const STATEMENTS_MAX: usize = 1000;

/// What a policy says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    Deny,
    Allow,
    Silent,
}

/// A policy of a bucket.
#[derive(Debug)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    allow: bool,
    principals: Matching,
    actions: Matching,
    resources: Matching,
    conditions: Vec<Condition>,
}

/// Patterns, and whether one of them or none of them is to match.
#[derive(Debug)]
struct Matching {
    patterns: Vec<String>,
    none: bool,
}

impl Matching {
    fn holds(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern)) != self.none
    }
}

/// A request, as policies see it.
pub(crate) struct Asked<'a> {
    /// `s3:GetObject` and the like.
    pub(crate) action: &'a str,
    /// `arn:aws:s3:::bucket` or `arn:aws:s3:::bucket/key`.
    pub(crate) resource: &'a str,
    /// Whether a principal of a policy names the caller.
    pub(crate) named: &'a (dyn Fn(&str) -> bool + Sync),
    /// The values of a condition key, by its name in lower case.
    pub(crate) fact: &'a (dyn Fn(&str) -> Vec<String> + Sync),
}

fn malformed(why: &'static str) -> s3s::S3Error {
    s3_error!(MalformedPolicy, "{}", why)
}

impl Policy {
    /// Reads a policy of `bucket`.
    ///
    /// # Errors
    /// `MalformedPolicy` where it is none, or says what would not be obeyed.
    pub(crate) fn parse(text: &str, bucket: &str) -> S3Result<Policy> {
        if text.len() > BYTES_MAX {
            return Err(malformed("The policy is over 20 KiB."));
        }
        let root: Value =
            serde_json::from_str(text).map_err(|_| malformed("Policies must be valid JSON."))?;
        let root = root.as_object().ok_or_else(|| malformed("A policy is an object."))?;
        if root.keys().any(|key| !matches!(key.as_str(), "Version" | "Id" | "Statement")) {
            return Err(malformed("Unknown field in the policy."));
        }
        let version = root.get("Version").and_then(Value::as_str);
        if root.contains_key("Version") && !matches!(version, Some("2012-10-17" | "2008-10-17")) {
            return Err(malformed("Unknown policy version."));
        }
        let statements =
            root.get("Statement").ok_or_else(|| malformed("Missing required field Statement"))?;
        let statements = match statements {
            Value::Array(all) => all.iter().collect(),
            one => vec![one],
        };
        if statements.is_empty() || statements.len() > STATEMENTS_MAX {
            return Err(malformed("A policy has from 1 to 1000 statements."));
        }
        let statements =
            statements.into_iter().map(|s| Statement::parse(s, bucket)).collect::<S3Result<_>>()?;
        Ok(Policy { statements })
    }

    /// What it says of a request: any refusal counts more than all that allow.
    pub(crate) fn decide(&self, asked: &Asked<'_>) -> Decision {
        let mut decision = Decision::Silent;
        for statement in self.statements.iter().filter(|statement| statement.applies(asked)) {
            if !statement.allow {
                return Decision::Deny;
            }
            decision = Decision::Allow;
        }
        decision
    }

    /// Whether it lets everybody do something.
    pub(crate) fn is_public(&self) -> bool {
        self.statements.iter().any(|statement| {
            statement.allow
                && statement.principals.holds(|pattern| pattern == "*")
                && !statement.conditions.iter().any(Condition::restricts)
        })
    }
}

impl Statement {
    fn parse(value: &Value, bucket: &str) -> S3Result<Statement> {
        let fields = value.as_object().ok_or_else(|| malformed("A statement is an object."))?;
        let known = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        if fields.keys().any(|key| !known.contains(&key.as_str())) {
            return Err(malformed("Unknown field in a statement."));
        }
        let allow = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(malformed("Missing required field Effect")),
        };
        let either = |yes: &str, no: &str, read: fn(&Value) -> Option<Vec<String>>, what: &'static str| {
            let (value, none) = match (fields.get(yes), fields.get(no)) {
                (Some(value), None) => (value, false),
                (None, Some(value)) => (value, true),
                _ => return Err(malformed(what)),
            };
            let patterns = read(value).filter(|patterns| !patterns.is_empty());
            Ok(Matching { patterns: patterns.ok_or_else(|| malformed(what))?, none })
        };
        let principals = either("Principal", "NotPrincipal", principals, "Invalid principal in policy")?;
        if allow && principals.none {
            return Err(malformed("Allow with NotPrincipal is not allowed."));
        }
        let actions = either("Action", "NotAction", texts, "Policy has invalid action")?;
        let resources = either("Resource", "NotResource", texts, "Policy has invalid resource")?;
        let is_action = |text: &String| text == "*" || text.starts_with("s3:");
        if !actions.patterns.iter().all(is_action) {
            return Err(malformed("Policy has invalid action"));
        }
        let of_bucket = |text: &String| {
            let name =
                text.strip_prefix("arn:aws:s3:::").map(|rest| rest.split('/').next().unwrap_or_default());
            text == "*" || name.is_some_and(|name| matches(name, bucket))
        };
        if !resources.patterns.iter().all(of_bucket) {
            return Err(malformed("Policy has invalid resource"));
        }
        let conditions = match fields.get("Condition") {
            Some(value) => {
                Condition::parse(value).ok_or_else(|| malformed("Policy has an invalid condition"))?
            }
            None => Vec::new(),
        };
        Ok(Statement { allow, principals, actions, resources, conditions })
    }

    fn applies(&self, asked: &Asked<'_>) -> bool {
        self.actions.holds(|pattern| matches_ignoring_case(pattern, asked.action))
            && self.resources.holds(|pattern| matches(pattern, asked.resource))
            && self.principals.holds(|pattern| pattern == "*" || (asked.named)(pattern))
            && self.conditions.iter().all(|condition| condition.holds(asked.fact))
    }
}

/// One text or a list of them.
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(all) => all.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn principals(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) if text == "*" => Some(vec![text.clone()]),
        Value::Object(kinds) => {
            let mut found = Vec::new();
            for (kind, value) in kinds {
                match kind.as_str() {
                    "AWS" | "CanonicalUser" => found.extend(texts(value)?),
                    // Nobody here is a service of the cloud: such a principal names no one.
                    "Service" | "Federated" => {
                        found.extend(texts(value)?.into_iter().map(|text| format!("{kind}:{text}")));
                    }
                    _ => return None,
                }
            }
            Some(found)
        }
        _ => None,
    }
}

/// Whether `text` fits a pattern in which `*` stands for any run of characters and `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and what it stood for up to now.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            back = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((star, upto)) = back {
            back = Some((star, upto + 1));
            (p, t) = (star + 1, upto + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(policy: &str, action: &str, key: &str, who: &'static str, facts: &[(&str, &str)]) -> Decision {
        let policy = Policy::parse(policy, "b").unwrap();
        let resource =
            if key.is_empty() { "arn:aws:s3:::b".to_owned() } else { format!("arn:aws:s3:::b/{key}") };
        let fact = |name: &str| {
            facts.iter().filter(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()).collect()
        };
        let named = |principal: &str| principal == who;
        policy.decide(&Asked { action, resource: &resource, named: &named, fact: &fact })
    }

    #[test]
    fn patterns_stand_for_runs_and_single_characters() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("**", "x", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_refusal_counts_more_than_what_allows() {
        let policy = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Principal":"*","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*"},
            {"Effect":"Deny","Principal":{"AWS":["ann","eve"]},"Action":"s3:GetObject","Resource":["arn:aws:s3:::b/secret/*"]}]}"#;
        assert_eq!(decide(policy, "s3:GetObject", "x", "eve", &[]), Decision::Allow);
        assert_eq!(decide(policy, "s3:GetObject", "secret/x", "eve", &[]), Decision::Deny);
        assert_eq!(decide(policy, "s3:GetObject", "secret/x", "bob", &[]), Decision::Allow);
        assert_eq!(decide(policy, "s3:PutObject", "x", "bob", &[]), Decision::Silent);
        assert_eq!(decide(policy, "s3:GetObject", "", "bob", &[]), Decision::Silent);
    }

    #[test]
    fn conditions_and_negations_are_obeyed() {
        let policy = r#"{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"eve"},"NotAction":"s3:Delete*",
            "Resource":"arn:aws:s3:::b*","Condition":{"StringLike":{"s3:prefix":["a/*","b"]},
            "IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}}"#;
        let facts = [("s3:prefix", "a/x"), ("aws:sourceip", "10.1.2.3")];
        assert_eq!(decide(policy, "s3:ListBucket", "", "ann", &facts), Decision::Deny);
        assert_eq!(decide(policy, "s3:ListBucket", "", "eve", &facts), Decision::Silent);
        assert_eq!(decide(policy, "s3:DeleteObject", "", "ann", &facts), Decision::Silent);
        assert_eq!(decide(policy, "s3:ListBucket", "", "ann", &facts[..1]), Decision::Silent);
        let other = [("s3:prefix", "c"), ("aws:sourceip", "10.1.2.3")];
        assert_eq!(decide(policy, "s3:ListBucket", "", "ann", &other), Decision::Silent);
    }

    #[test]
    fn what_would_not_be_obeyed_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"Statement":[]}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::other/*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"ec2:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Maybe","Principal":"*","Action":"s3:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","NotPrincipal":{"AWS":"a"},"Action":"s3:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Odd":{"a":"b"}}}}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*","More":1}}"#,
        ] {
            assert!(Policy::parse(text, "b").is_err(), "{text}");
        }
    }

    #[test]
    fn whether_everybody_may_something_is_seen() {
        let of = |condition: &str| {
            let text = format!(
                r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"{condition}}}}}"#
            );
            Policy::parse(&text, "b").unwrap().is_public()
        };
        assert!(of("") && of(r#","Condition":{"StringEquals":{"s3:prefix":"a"}}"#));
        assert!(!of(r#","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#));
    }
}
