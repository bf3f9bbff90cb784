//! Conditions of policies.

use crate::policy::{matches, texts};
use serde_json::Value;
use serve::ClientRule;
use std::cmp::Ordering;
use std::net::IpAddr;

/// One operator on one key.
#[derive(Debug)]
pub(crate) struct Condition {
    operator: Operator,
    /// The opposite is to hold.
    negated: bool,
    /// It holds, too, where there is no value.
    if_exists: bool,
    /// Every value of the request has to fit, not any.
    for_all: bool,
    /// In lower case.
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Equals,
    EqualsIgnoreCase,
    Like,
    /// Numbers or times, in this order.
    Number(Compare),
    Date(Compare),
    Bool,
    IpAddress,
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Compare::Equal => order == Ordering::Equal,
            Compare::Less => order == Ordering::Less,
            Compare::LessOrEqual => order != Ordering::Greater,
            Compare::Greater => order == Ordering::Greater,
            Compare::GreaterOrEqual => order != Ordering::Less,
        }
    }
}

impl Condition {
    /// All conditions of a statement; `None` where something in it is not known.
    pub(crate) fn parse(value: &Value) -> Option<Vec<Condition>> {
        let mut found = Vec::new();
        for (operator, keys) in value.as_object()? {
            let (operator, for_all) = match operator.split_once(':') {
                Some(("ForAllValues", rest)) => (rest, true),
                Some(("ForAnyValue", rest)) => (rest, false),
                Some(_) => return None,
                None => (operator.as_str(), false),
            };
            let (operator, if_exists) = match operator.strip_suffix("IfExists") {
                Some(rest) => (rest, true),
                None => (operator, false),
            };
            let (operator, negated) = operator_of(operator)?;
            for (key, values) in keys.as_object()? {
                let values = match values {
                    Value::Bool(value) => vec![value.to_string()],
                    Value::Number(number) => vec![number.to_string()],
                    values => texts(values)?,
                };
                let key = key.to_ascii_lowercase();
                found.push(Condition { operator, negated, if_exists, for_all, key, values });
            }
        }
        Some(found)
    }

    pub(crate) fn holds(&self, fact: &(dyn Fn(&str) -> Vec<String> + Sync)) -> bool {
        let facts = fact(&self.key);
        if self.operator == Operator::Null {
            return self.values.iter().any(|value| value.eq_ignore_ascii_case("true") == facts.is_empty());
        }
        if facts.is_empty() {
            return self.if_exists || self.negated || self.for_all;
        }
        let fits = |fact: &String| self.values.iter().any(|value| self.fits(value, fact)) != self.negated;
        // None of several values may be what is excluded.
        if self.for_all || self.negated { facts.iter().all(fits) } else { facts.iter().any(fits) }
    }

    /// Whether it keeps out most of the world.
    pub(crate) fn restricts(&self) -> bool {
        let of_callers = [
            "aws:sourceip",
            "aws:sourcevpc",
            "aws:sourcevpce",
            "aws:principalorgid",
            "aws:principalarn",
            "aws:principalaccount",
            "aws:userid",
            "aws:sourcearn",
            "aws:sourceaccount",
        ];
        let whole = |value: &String| value == "*" || value.ends_with("/0");
        !self.negated && of_callers.contains(&self.key.as_str()) && !self.values.iter().any(whole)
    }

    fn fits(&self, value: &str, fact: &str) -> bool {
        match self.operator {
            Operator::Equals => value == fact,
            Operator::EqualsIgnoreCase => value.eq_ignore_ascii_case(fact),
            Operator::Like => matches(value, fact),
            Operator::Bool => value.eq_ignore_ascii_case(fact),
            Operator::Number(compare) => {
                let (Ok(value), Ok(fact)) = (value.parse::<f64>(), fact.parse::<f64>()) else { return false };
                fact.partial_cmp(&value).is_some_and(|order| compare.holds(order))
            }
            Operator::Date(compare) => {
                let (Some(value), Some(fact)) = (moment(value), moment(fact)) else { return false };
                compare.holds(fact.cmp(&value))
            }
            Operator::IpAddress => {
                let (Ok(rule), Ok(address)) = (value.parse::<ClientRule>(), fact.parse::<IpAddr>()) else {
                    return false;
                };
                value != "*" && rule.admits(address)
            }
            Operator::Null => false,
        }
    }
}

fn operator_of(name: &str) -> Option<(Operator, bool)> {
    use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let compare = |rest: &str| {
        Some(match rest {
            "Equals" => (Equal, false),
            "NotEquals" => (Equal, true),
            "LessThan" => (Less, false),
            "LessThanEquals" => (LessOrEqual, false),
            "GreaterThan" => (Greater, false),
            "GreaterThanEquals" => (GreaterOrEqual, false),
            _ => return None,
        })
    };
    if let Some(rest) = name.strip_prefix("Numeric") {
        return compare(rest).map(|(compare, negated)| (Operator::Number(compare), negated));
    }
    if let Some(rest) = name.strip_prefix("Date") {
        return compare(rest).map(|(compare, negated)| (Operator::Date(compare), negated));
    }
    Some(match name {
        "StringEquals" => (Operator::Equals, false),
        "StringNotEquals" => (Operator::Equals, true),
        "StringEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, true),
        "StringLike" | "ArnLike" | "ArnEquals" => (Operator::Like, false),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (Operator::Like, true),
        "Bool" => (Operator::Bool, false),
        "IpAddress" => (Operator::IpAddress, false),
        "NotIpAddress" => (Operator::IpAddress, true),
        "Null" => (Operator::Null, false),
        _ => return None,
    })
}

/// Seconds since 1970, of a number or a time as ISO 8601 has it.
fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, &format).ok().map(time::OffsetDateTime::unix_timestamp)
}
