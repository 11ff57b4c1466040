//! `sshmeter parse`: reads logs and shows what they mean. It asks no kernel, so
//! it shows what was written, not what was true.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::{
    sshd::{Clock, Event, History, JournalEntry, Noted, Parsed, parse_journal, parse_line},
    time::zone_named,
};

use super::view::Screen;
use crate::{
    cli::{ParseArguments, ParseFormat},
    error::{Failure, Outcome, say, unprinted},
    input::{Foreign, Input, Part},
    render::View,
    render::parse::{Tally, event_json, fitted, sessions_table, summary_table, total},
};

/// How much is written at once.
const CHUNK: usize = 1 << 16;
/// Lines shown of those that were not understood.
const EXAMPLES: usize = 3;
/// Signs shown of each.
const EXAMPLE_WIDTH: usize = 120;

pub(super) fn run(arguments: &ParseArguments) -> Outcome {
    let zone = zone(arguments.tz.as_deref())?;
    let logs = if arguments.files.is_empty() {
        &[PathBuf::from("-")][..]
    } else {
        &arguments.files
    };
    // What is written is already fit to be shown, however much it is.
    let mut output = BufWriter::with_capacity(CHUNK, io::stdout().lock());
    let mut reading = Reading::new(arguments.format, zone, &mut output);
    reading.screen = Screen::of_stdout();
    reading.screen.width = terminal_width().unwrap_or(usize::MAX);
    let mut unreadable = 0_usize;
    for path in logs {
        if let Err(failure) = reading.read(path) {
            if failure.kind() == crate::error::Kind::PipeClosed {
                return Err(failure);
            }
            unreadable += 1;
            say(&failure.text());
        }
    }
    reading.finish(unreadable < logs.len())?;
    output.flush().map_err(unprinted)?;
    if unreadable == 0 {
        Ok(())
    } else {
        Err(Failure::told())
    }
}

/// The zone `--tz` names.
fn zone(name: Option<&str>) -> Outcome<TimeZone> {
    match name {
        None | Some("system") => Ok(TimeZone::system()),
        Some(name) => zone_named(name).ok_or_else(|| {
            Failure::usage(anyhow!("there is no time zone `{name}` on this machine")).hint(
                "zones are named like `Europe/Berlin` or `UTC`; they come with the package tzdata",
            )
        }),
    }
}

fn terminal_width() -> Option<usize> {
    let output = io::stdout();
    if !output.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&output).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// All that was read so far.
struct Reading<'a, W: Write> {
    format: ParseFormat,
    zone: TimeZone,
    output: &'a mut W,
    history: History,
    tallies: Vec<Tally>,
    unrecognised: Vec<String>,
    refused: Vec<String>,
    is_live: bool,
    /// What the output can show; a pipe has room for any width.
    screen: Screen,
}

impl<'a, W: Write> Reading<'a, W> {
    fn new(format: ParseFormat, zone: TimeZone, output: &'a mut W) -> Self {
        Self {
            format,
            zone,
            output,
            history: History::default(),
            tallies: Vec::new(),
            unrecognised: Vec::new(),
            refused: Vec::new(),
            is_live: false,
            screen: Screen {
                width: usize::MAX,
                unicode: true,
                styled: true,
            },
        }
    }

    /// Reads one log, `-` for standard input.
    fn read(&mut self, path: &Path) -> Outcome {
        if path.as_os_str() != "-" {
            let name = path.to_string_lossy().into_owned();
            let input = Input::open(path).map_err(|error| unreadable(path, error))?;
            return self.read_lines(&name, input);
        }
        if io::stdin().is_terminal() {
            say("Reading a log from the terminal; end it with Ctrl-D, or give a FILE.\n");
        }
        let input = Input::standard().map_err(|error| unreadable(path, error))?;
        self.read_lines("standard input", input)
    }

    fn read_lines(&mut self, name: &str, input: Input) -> Outcome {
        // A line without a year was written before the log was last changed.
        self.is_live = input.changed.is_none();
        let now = Timestamp::now();
        let changed = input
            .changed
            .and_then(|time| Timestamp::try_from(time).ok());
        let clock = Clock::new(changed.map_or(now, |time| time.min(now)), self.zone.clone());
        let mut tally = Tally {
            name: name.to_owned(),
            ..Tally::default()
        };
        let result = input.each_line(|part| match part {
            Part::Line(line) => self.take(line, &clock, &mut tally),
            Part::Pause => self.pause(),
        });
        self.tallies.push(tally);
        result.map_err(|error| match error {
            Interrupted::Input(error) => unreadable(Path::new(name), error),
            Interrupted::Output(failure) => failure,
        })
    }

    fn take(&mut self, line: &[u8], clock: &Clock, tally: &mut Tally) -> Result<(), Interrupted> {
        tally.lines += 1;
        let parsed = parse_any(line, clock);
        if parsed != Parsed::NotSshd {
            tally.daemon += 1;
        }
        match parsed {
            Parsed::NotSshd | Parsed::Known(_) => {}
            Parsed::Unrecognised => {
                tally.unrecognised += 1;
                remember(&mut self.unrecognised, || example(line));
            }
            Parsed::Refused(refusal) => {
                tally.refused += 1;
                remember(&mut self.refused, || {
                    fitted(&format!("{refusal}: {}", example(line)), EXAMPLE_WIDTH)
                });
            }
            Parsed::Event(event) => self.event(&event, tally)?,
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, tally: &mut Tally) -> Result<(), Interrupted> {
        if self.format == ParseFormat::Json {
            return self.write_event(event).map_err(Interrupted::Output);
        }
        match self.history.note(event) {
            Noted::Login => tally.logins += 1,
            Noted::Closing => tally.closings += 1,
            Noted::Nothing => {}
        }
        Ok(())
    }

    fn write_event(&mut self, event: &Event) -> Outcome {
        let line = event_json(event).map_err(Failure::failed)?;
        self.output.write_all(line.as_bytes())?;
        Ok(self.output.write_all(b"\n")?)
    }

    /// A pipe's lines may come one by one, as they happen, and then nobody wants to
    /// wait for a full buffer.
    fn pause(&mut self) -> Result<(), Interrupted> {
        if self.is_live {
            let flushed = self.output.flush();
            return flushed.map_err(|error| Interrupted::Output(error.into()));
        }
        Ok(())
    }

    /// Writes what can only be told at the end.
    fn finish(self, anything_read: bool) -> Outcome {
        if !anything_read {
            return Ok(());
        }
        let all = total(&self.tallies);
        if self.format == ParseFormat::Json {
            if all.refused > 0 {
                say(&format!(
                    "{} lines were refused; the table says why.\n",
                    all.refused
                ));
            }
            return Ok(());
        }
        let no_keys = BTreeMap::new();
        let view = View {
            width: self.screen.width,
            unicode: self.screen.unicode,
            styled: self.screen.styled,
            payload: false,
            top: None,
            keys: &no_keys,
        };
        let sessions = self.history.into_sessions();
        if sessions.is_empty() {
            writeln!(self.output, "No login in {} lines.\n", all.lines)?;
        } else {
            let table = sessions_table(&sessions, &self.zone, &view);
            let zone = self.zone.iana_name().unwrap_or("the system's time zone");
            writeln!(self.output, "{table}\nTimes in {zone}.\n")?;
        }
        write!(self.output, "{}", summary_table(&self.tallies, &view))?;
        examples(self.output, "Not recognised", &self.unrecognised)?;
        examples(self.output, "Refused", &self.refused)?;
        if all.daemon == 0 && all.lines > 0 {
            writeln!(
                self.output,
                "\nNone of these lines is sshd's or dropbear's. A log needs a time and a tag \
                 (sshd[123]:) before\neach message: what `sshd -e` or `journalctl -o cat` prints \
                 has neither, and anybody could forge it."
            )?;
        }
        Ok(())
    }
}

/// Why reading a log stopped.
enum Interrupted {
    Input(io::Error),
    Output(Failure),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

/// A line in whichever form it is: an object is a journal entry.
fn parse_any(line: &[u8], clock: &Clock) -> Parsed {
    if line.trim_ascii_start().first() == Some(&b'{') {
        return parse_journal(line).map_or(Parsed::NotSshd, |JournalEntry { parsed, .. }| parsed);
    }
    parse_line(line, clock)
}

fn remember(examples: &mut Vec<String>, example: impl FnOnce() -> String) {
    if examples.len() < EXAMPLES {
        examples.push(example());
    }
}

/// A line made fit to be shown; of a journal entry, its message.
fn example(line: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(line)
        .ok()
        .and_then(|entry| Some(entry.get("MESSAGE")?.as_str()?.to_owned()));
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(line).into_owned());
    fitted(&text, EXAMPLE_WIDTH)
}

fn examples(output: &mut impl Write, title: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(output, "\n{title}, the first:")?;
    for line in lines {
        writeln!(output, "  {line}")?;
    }
    Ok(())
}

/// A log that cannot be read, and what can be done about it.
fn unreadable(path: &Path, error: io::Error) -> Failure {
    let shown = path.display().to_string();
    let hint = match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Foreign>())
    {
        Some(foreign) => format!("{} {shown} | sshmeter parse", foreign.reader),
        None => hint(error.kind()).to_owned(),
    };
    let what = format!("{} cannot be read", fitted(&shown, EXAMPLE_WIDTH));
    let failure = match Err::<(), _>(error).context(what) {
        Err(error) => Failure::failed(error),
        Ok(()) => Failure::told(),
    };
    if hint.is_empty() {
        failure
    } else {
        failure.hint(hint)
    }
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => {
            "logs of sshd are /var/log/auth.log or /var/log/secure; without either, try \
             `journalctl -o json -t sshd -t sshd-session | sshmeter parse`"
        }
        io::ErrorKind::PermissionDenied => "run it as root, or as a member of the group adm",
        io::ErrorKind::IsADirectory => "give the files in it",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            "the gzip file is damaged; what came before the damage was read"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../core/tests/corpus")
            .join(name)
    }

    /// The width of the terminal that knows no more than ASCII.
    const PLAIN: usize = 80;

    fn parse(format: ParseFormat, logs: &[&str]) -> String {
        parse_in(None, format, logs)
    }

    fn parse_in(width: Option<usize>, format: ParseFormat, logs: &[&str]) -> String {
        let mut output = Vec::new();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut reading = Reading::new(format, zone, &mut output);
        reading.screen.width = width.unwrap_or(usize::MAX);
        reading.screen.unicode = width != Some(PLAIN);
        for log in logs {
            let input = Input::open(&corpus(log)).unwrap();
            reading.read_lines(log, input).unwrap();
        }
        reading.finish(true).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(output).unwrap()).to_string()
    }

    #[test]
    fn sessions_and_summary() {
        let log = "openssh-10.5-info/auth.iso8601.log";
        insta::assert_snapshot!("table", parse(ParseFormat::Table, &[log]));
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        let log = "openssh-10.5-info/auth.iso8601.log";
        let table = parse_in(Some(120), ParseFormat::Table, &[log]);
        insta::assert_snapshot!("table-narrow", table);
        let table = parse_in(Some(PLAIN), ParseFormat::Table, &[log]);
        insta::assert_snapshot!("table-plain", table);
        assert!(!table.contains(['─', '–', '…']), "{table}");
    }

    #[test]
    fn several_logs_and_what_was_refused() {
        let logs = [
            "openssh-9.2-verbose-journald/journal.sshd.json",
            "dropbear-2022.83/auth.iso8601.log",
            "forged-in-the-journal.json",
        ];
        insta::assert_snapshot!("table-of-several", parse(ParseFormat::Table, &logs));
    }

    #[test]
    fn a_log_of_something_else() {
        let log = "forged-by-sshd-e.debian-9.2p1.stderr";
        insta::assert_snapshot!("table-of-none", parse(ParseFormat::Table, &[log]));
        assert_eq!(parse(ParseFormat::Json, &[log]), "");
    }

    #[test]
    fn events_as_json() {
        let log = "openssh-9.2-verbose/auth.iso8601.log";
        insta::assert_snapshot!("json", parse(ParseFormat::Json, &[log]));
        for line in parse(ParseFormat::Json, &[log]).lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(row["event"].is_string() && row["time"].is_string() && row["pid"].is_u64());
        }
    }

    #[test]
    fn dropbear_as_json() {
        let log = "dropbear-2022.83/auth.rfc5424.log";
        insta::assert_snapshot!("json-dropbear", parse(ParseFormat::Json, &[log]));
    }
}
