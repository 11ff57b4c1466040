//! Draws a terminal's text: one file, readable on a light page and on a dark one.
//!
//! Every line is given its width, so that columns stand under each other whatever
//! the reader's fonts are.

use std::fmt::Write as _;

const CELL: f64 = 8.4;
const LINE: f64 = 19.0;
const MARGIN: f64 = 20.0;

const STYLE: &str = "\
.card{fill:#f6f8fa;stroke:#d1d9e0}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;fill:#1f2328;white-space:pre}
.bold{font-weight:600}.dim{fill:#818b98}.bar{fill:#0969da}
@media (prefers-color-scheme:dark){
.card{fill:#151b23;stroke:#3d444d}
text{fill:#f0f6fc}.dim{fill:#656c76}.bar{fill:#4493f8}
}
";

/// The drawing of what a command says.
pub(super) fn drawn(title: &str, words: &str) -> String {
    let lines: Vec<&str> = words.lines().collect();
    let columns = lines.iter().map(|line| line.chars().count()).max();
    let width = cells(columns.unwrap_or(0)) + 2.0 * MARGIN;
    let height = cells(0) + LINE * float(lines.len()) + 2.0 * MARGIN - 6.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"card\" x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\"/>\n",
        escaped(title),
        width - 1.0,
        height - 1.0
    );
    for (number, line) in lines.iter().enumerate() {
        let y = MARGIN + LINE * float(number) + 9.0;
        for (column, text, class) in runs(line, class(&lines, number)) {
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                svg,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.0}\" textLength=\"{:.1}\" \
                 lengthAdjust=\"spacingAndGlyphs\">{}</text>",
                MARGIN + cells(column),
                cells(text.chars().count()),
                escaped(&text)
            );
        }
    }
    svg + "</svg>\n"
}

/// How a line looks, as on a terminal: title, headings and sums are bold, and what
/// stands below the table is dim.
fn class(lines: &[&str], number: usize) -> &'static str {
    let is_rule = |line: &&str| line.starts_with('─');
    let first = lines.iter().position(is_rule);
    let last = lines.iter().rposition(is_rule);
    let below = last.is_some_and(|last| number > last);
    let is_foot = below && lines[..number].last().is_none_or(|line| line.is_empty());
    if is_foot {
        "dim"
    } else if number == 0 || first == Some(number + 1) || below {
        "bold"
    } else {
        "plain"
    }
}

/// A line's words between wide gaps, each with its column and its class.
fn runs<'a>(line: &str, class: &'a str) -> Vec<(usize, String, &'a str)> {
    let mut runs: Vec<(usize, String, &str)> = Vec::new();
    let mut gap = 2;
    for (column, letter) in line.chars().enumerate() {
        if letter == ' ' {
            gap += 1;
            continue;
        }
        match runs.last_mut() {
            Some((_, text, _)) if gap < 2 => {
                text.extend(std::iter::repeat_n(' ', gap));
                text.push(letter);
            }
            _ => {
                let class = match letter {
                    '─' => "dim",
                    '█'..='▏' => "bar",
                    _ => class,
                };
                runs.push((column, letter.to_string(), class));
            }
        }
        gap = 0;
    }
    runs
}

fn cells(columns: usize) -> f64 {
    CELL * float(columns)
}

fn float(number: usize) -> f64 {
    u32::try_from(number).map_or(0.0, f64::from)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
