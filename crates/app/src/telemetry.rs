//! What the daemon says while it runs: to stderr, for a person, a file or
//! systemd. Text that comes from logs and peers is data: control characters
//! are escaped before they can reach a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// The environment's word for how much is said.
pub const FILTER_VARIABLE: &str = "SSHMETER_LOG";

/// Starts telemetry for the whole program; a second call changes nothing.
pub fn start() {
    let filter = EnvFilter::builder()
        .with_env_var(FILTER_VARIABLE)
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let form = if std::env::var_os("JOURNAL_STREAM").is_some() {
        Form::Journal
    } else if io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
    {
        Form::Terminal
    } else {
        Form::Plain
    };
    // Only a telemetry that was started before stands against it.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Its own words about a failing stderr would go to stderr, and panic.
        .log_internal_errors(false)
        .with_writer(io::stderr)
        // It would be told on stderr, by a macro that panics when that is closed.
        .log_internal_errors(false)
        .event_format(form)
        .try_init();
}

/// Who reads along.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// journald: a syslog priority instead of a time, which journald knows.
    Journal,
    /// A person, with colour.
    Terminal,
    /// A file or a pipe.
    Plain,
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut words = Words::default();
        event.record(&mut words);
        writeln!(
            writer,
            "{}",
            self.line(*event.metadata().level(), &words.text())
        )
    }
}

impl Form {
    fn line(self, level: Level, text: &str) -> String {
        let (priority, word, colour) = match level {
            Level::ERROR => (3, "error", 31),
            Level::WARN => (4, "warning", 33),
            Level::INFO => (6, "info", 32),
            Level::DEBUG => (7, "debug", 34),
            Level::TRACE => (7, "trace", 35),
        };
        match self {
            Self::Journal => format!("<{priority}>{text}"),
            Self::Terminal => format!("\u{1b}[{colour}m{word}:\u{1b}[0m {text}"),
            Self::Plain => {
                let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
                format!("{now} {word}: {text}")
            }
        }
    }
}

/// An event's message and fields, made safe to show.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn text(self) -> String {
        self.message + &self.fields
    }

    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(&escaped(value));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.fields, " {}={}", field.name(), escaped(value));
        }
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// One line without control characters, those of C1 included.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What one event becomes.
    fn shown(form: Form, say: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Paper(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Paper {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(form)
            .finish();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn journald_gets_priorities_and_no_time() {
        let line = shown(Form::Journal, || tracing::warn!(user = "bob", "refused"));
        assert_eq!(line, "<4>refused user=bob\n");
        assert_eq!(
            shown(Form::Journal, || tracing::error!("it ends")),
            "<3>it ends\n"
        );
    }

    #[test]
    fn log_text_never_reaches_a_terminal_raw() {
        let hostile = "\u{1b}[2J\n<0>root\u{9b}31m";
        let line = shown(Form::Plain, || {
            tracing::info!(user = hostile, "seen {hostile}");
        });
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
        assert!(line.contains(r"seen \u{1b}[2J\n<0>root\u{9b}31m"), "{line}");
    }

    #[test]
    fn colour_is_for_terminals_only() {
        assert!(
            Form::Terminal
                .line(Level::INFO, "x")
                .contains("\u{1b}[32minfo:")
        );
        assert!(!Form::Plain.line(Level::INFO, "x").contains('\u{1b}'));
    }
}
