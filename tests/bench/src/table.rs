//! The results as Markdown.

use crate::results::{Cost, Results, Spread};
use crate::rows::Row;
use crate::systems::Kind;

/// A quarter of a peer: rows below want a cause.
const SLOW: f64 = 0.25;

/// What stands above the tables.
#[derive(Clone, Debug)]
pub struct Head {
    /// One line each.
    pub lines: Vec<String>,
    /// What was measured, with its version.
    pub systems: Vec<(Kind, String)>,
    /// What was not, and why.
    pub missing: Vec<(Kind, String)>,
}

/// All of it.
#[must_use]
pub fn markdown(head: &Head, results: &Results) -> String {
    let kinds: Vec<Kind> = head.systems.iter().map(|(kind, _)| *kind).collect();
    let mut text = String::new();
    for line in &head.lines {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("\n### Speed\n\nIn a second: median of the passes (smallest..largest). ");
    text.push_str("`÷ X`: how many times as fast as X; bold under a quarter.\n\n");
    text.push_str(&render(&rates(&kinds, results)));
    text.push_str("\n### What an operation costs\n\n");
    text.push_str(&render(&costs(&kinds, results)));
    text.push_str("\n### What is compared\n\n");
    text.push_str(&render(&systems(head)));
    let slow = results.slow();
    if !slow.is_empty() {
        text.push_str("\n### Under a quarter of a peer\n\n");
        let lines = slow.iter().map(|(row, kind, peer, ratio)| {
            vec![row.title(), kind.title().into(), peer.title().into(), number(*ratio)]
        });
        let first = vec!["row".into(), "ours".into(), "peer".into(), "ratio".into()];
        text.push_str(&render(&std::iter::once(first).chain(lines).collect::<Vec<_>>()));
    }
    if !results.failures.is_empty() {
        text.push_str("\n### Failed\n\n");
        for failure in &results.failures {
            text.push_str(&format!("- {}\n", failure.replace('\n', " ")));
        }
    }
    text
}

fn rates(kinds: &[Kind], results: &Results) -> Vec<Vec<String>> {
    let compared = |kind: Kind| kind.peers().iter().copied().filter(|peer| kinds.contains(peer));
    let mut first = vec!["row".to_owned(), "unit".to_owned()];
    for &kind in kinds {
        first.push(kind.title().to_owned());
        first.extend(compared(kind).map(|peer| format!("÷ {}", peer.title())));
    }
    let mut lines = vec![first];
    for row in Row::all() {
        let mut line = vec![row.title(), row.unit().to_owned()];
        for &kind in kinds {
            line.push(results.rate(row, kind).map_or_else(nothing, rate));
            line.extend(
                compared(kind).map(|peer| results.ratio(row, kind, peer).map_or_else(nothing, ratio)),
            );
        }
        lines.push(line);
    }
    lines
}

fn costs(kinds: &[Kind], results: &Results) -> Vec<Vec<String>> {
    let mut first = vec!["row".to_owned(), "for each".to_owned(), "cost".to_owned()];
    first.extend(kinds.iter().map(|kind| kind.title().to_owned()));
    let mut lines = vec![first];
    for row in Row::all() {
        for cost in Cost::ALL {
            let values: Vec<Option<f64>> = kinds.iter().map(|&kind| results.cost(row, kind, cost)).collect();
            // Rows that write nothing would say so many times.
            if values.iter().flatten().all(|&value| value < cost.least()) {
                continue;
            }
            let unit = row.unit().trim_end_matches('s').replace("entrie", "entry");
            let mut line = vec![row.title(), unit, cost.title().to_owned()];
            line.extend(values.into_iter().map(|value| value.map_or_else(nothing, number)));
            lines.push(line);
        }
    }
    lines
}

fn systems(head: &Head) -> Vec<Vec<String>> {
    let mut lines =
        vec![["system", "version", "safe from a power cut when a call returns"].map(String::from).to_vec()];
    for (kind, version) in &head.systems {
        lines.push(vec![kind.title().into(), version.clone(), kind.promise().into()]);
    }
    for (kind, why) in &head.missing {
        lines.push(vec![kind.title().into(), format!("not measured: {}", why.replace('\n', " ")), nothing()]);
    }
    lines
}

fn nothing() -> String {
    "–".to_owned()
}

fn rate(spread: Spread) -> String {
    if spread.min == spread.max {
        return number(spread.median);
    }
    format!("{} ({}..{})", number(spread.median), number(spread.min), number(spread.max))
}

fn ratio(ratio: f64) -> String {
    if ratio < SLOW { format!("**{}**", number(ratio)) } else { number(ratio) }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value {
        _ if value >= 100.0 => thousands(value.round()),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 0.095 => format!("{value:.2}"),
        _ if value == 0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A Markdown table that is also aligned as text; the first line is its head.
fn render(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("| {cell}{} ", " ".repeat(width - cell.chars().count())));
        }
        text.push_str("|\n");
        if at == 0 {
            for width in &widths {
                text.push_str(&format!("| {} ", "-".repeat(*width)));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Traffic;
    use crate::results::Sample;
    use crate::rows::Work;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let of = |value| number(value);
        assert_eq!([of(1234567.0), of(123.4), of(12.34), of(1.234)], ["1,234,567", "123", "12.3", "1.23"]);
        assert_eq!([of(0.1234), of(0.0123), of(0.0)], ["0.12", "0.012", "0"]);
    }

    #[test]
    fn a_table_has_a_line_for_every_row_and_a_column_for_every_system() {
        let mut results = Results::default();
        let work = |operations| Work { operations, seconds: 1.0, user_bytes: None };
        for (kind, operations) in [(Kind::PlexusFuse, 1.0), (Kind::PlexusFuse, 3.0), (Kind::Juicefs, 10.0)] {
            results.add(
                Row::Untar,
                kind,
                Sample { work: work(operations), cpu: None, traffic: Traffic::default() },
            );
        }
        results.failures.push("GlusterFS: would not".into());
        let systems = vec![(Kind::PlexusFuse, "1".into()), (Kind::Juicefs, "2".into())];
        let missing = vec![(Kind::Gluster, "no glusterd".into())];
        let text = markdown(&Head { lines: vec!["head".into()], systems, missing }, &results);
        assert!(text.contains("| Plexus FUSE ") && text.contains("| ÷ JuiceFS "), "{text}");
        assert!(!text.contains("÷ ext4"), "{text}");
        assert!(text.contains("2.00 (1.00..3.00)") && text.contains("**0.20**"), "{text}");
        assert!(
            text.contains("not measured: no glusterd") && text.contains("- GlusterFS: would not"),
            "{text}"
        );
        let untar = text.lines().filter(|line| line.starts_with("| untar")).count();
        assert_eq!(untar, 2, "its rate, and that it is under a quarter: {text}");
    }
}
