//! Every session against its own minutes, and against itself.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use sshmeter_core::units::Minute;

use super::{
    Check,
    fault::{Columns, SessionName, Subject, Time, Wrong, differences},
    file::text_at,
};
use crate::store::schema::OPEN;

impl Check<'_> {
    pub(super) fn sessions(&mut self) -> rusqlite::Result<()> {
        let connection = self.connection;
        let mut minutes = Minutes::of(connection)?;
        let mut minutes = minutes.rows()?;
        let mut statement = connection.prepare(
            "SELECT id, account, peer_ip, peer_port, local_ip, local_port, pid, boot, method,
                    reason, opened_ms, closed_ms, begin_minute, end_minute, pruned_first,
                    pruned_last, reading_wire_in, reading_wire_out, reading_payload_in,
                    reading_payload_out, total_wire_in, total_wire_out, total_payload_in,
                    total_payload_out, pruned_wire_in, pruned_wire_out, pruned_payload_in,
                    pruned_payload_out
             FROM session ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let session = Session::of(row)?;
            while let Some(minute) = minutes.take_before(session.id)? {
                self.minute_of_nobody(&minute);
            }
            let mut moved = Moved::default();
            while let Some(minute) = minutes.take_of(session.id)? {
                self.minute_alone(&minute);
                moved.add(&minute);
            }
            self.session(&session, &moved);
        }
        while let Some(minute) = minutes.take()? {
            self.minute_of_nobody(&minute);
        }
        self.counted("session", count);
        self.counted("minute", minutes.count);
        self.twice()
    }

    fn minute_of_nobody(&mut self, row: &MinuteRow) {
        let words = "there is no such session".to_owned();
        self.tell(row.subject(), Wrong::Told(words));
    }

    fn minute_alone(&mut self, row: &MinuteRow) {
        self.tell_all(&row.subject(), row.moved.impossible("its "));
    }

    fn session(&mut self, session: &Session, moved: &Moved) {
        let mut wrongs = Vec::new();
        let owner = self.owner(session.account);
        if owner.who.is_none() {
            wrongs.push(Wrong::Told(format!(
                "it belongs to account {}, which is not there",
                session.account
            )));
        }
        session.ends(&mut wrongs);
        session.span(moved, &mut wrongs);
        let impossible = session.impossible();
        if impossible.is_empty() {
            session.sums(moved, &mut wrongs);
        } else {
            wrongs.extend(impossible);
        }
        self.found.restarted += u64::from(session.has_restarted());
        if !wrongs.is_empty() {
            let subject = Subject::Session(SessionName {
                id: session.id,
                owner,
                peer_ip: session.peer_ip.clone(),
                peer_port: session.peer_port,
            });
            self.tell_all(&subject, wrongs);
        }
    }

    /// No connection is there twice.
    fn twice(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT max(id), account, peer_ip, peer_port, count(*) FROM session
             GROUP BY boot, cookie HAVING count(*) > 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = SessionName {
                id: row.get(0)?,
                owner: self.owner(row.get(1)?),
                peer_ip: text_at(row, 2)?.map(|text| text.shown).unwrap_or_default(),
                peer_port: row.get(3)?,
            };
            let words = format!("its connection is there {} times", row.get::<_, i64>(4)?);
            self.tell(Subject::Session(name), Wrong::Told(words));
        }
        Ok(())
    }
}

/// A session's row, of which nothing is believed.
struct Session {
    id: i64,
    account: i64,
    peer_ip: String,
    peer_port: i64,
    local_ip: String,
    local_port: i64,
    pid: Option<i64>,
    is_text: bool,
    reason: Option<String>,
    opened_ms: i64,
    closed_ms: Option<i64>,
    begin: i64,
    end: i64,
    pruned_span: Option<(i64, i64)>,
    is_pruned_half: bool,
    reading: Columns,
    total: Columns,
    pruned: Columns,
}

impl Session {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (first, last): (Option<i64>, Option<i64>) = (row.get(14)?, row.get(15)?);
        let mut is_text = true;
        let mut text = |column| {
            let text = text_at(row, column)?;
            is_text &= text.as_ref().is_none_or(|text| text.is_utf8);
            Ok::<_, rusqlite::Error>(text.map(|text| text.shown))
        };
        let peer_ip = text(2)?.unwrap_or_default();
        let local_ip = text(4)?.unwrap_or_default();
        let _boot = text(7)?;
        let _method = text(8)?;
        let reason = text(9)?;
        Ok(Self {
            id: row.get(0)?,
            account: row.get(1)?,
            peer_ip,
            peer_port: row.get(3)?,
            local_ip,
            local_port: row.get(5)?,
            pid: row.get(6)?,
            is_text,
            reason,
            opened_ms: row.get(10)?,
            closed_ms: row.get(11)?,
            begin: row.get(12)?,
            end: row.get(13)?,
            pruned_span: first.zip(last),
            is_pruned_half: first.is_some() != last.is_some(),
            reading: Columns::at(row, 16)?,
            total: Columns::at(row, 20)?,
            pruned: Columns::at(row, 24)?,
        })
    }

    /// The two ends of the connection, and its end in time.
    fn ends(&self, wrongs: &mut Vec<Wrong>) {
        let mut tell = |words: String| wrongs.push(Wrong::Told(words));
        if !self.is_text {
            tell("its texts are not UTF-8".to_owned());
        }
        for (whose, ip, port) in [
            ("its peer", &self.peer_ip, self.peer_port),
            ("sshd's end", &self.local_ip, self.local_port),
        ] {
            if ip.parse::<IpAddr>().is_err() || u16::try_from(port).is_err() {
                tell(format!("{whose} is no address and port: {ip:?}, {port}"));
            }
        }
        if let Some(pid) = self.pid.filter(|pid| u32::try_from(*pid).is_err()) {
            tell(format!("its process is no pid: {pid}"));
        }
        match (self.closed_ms, self.end == OPEN) {
            (None, false) => tell("it is open, but its span has an end".to_owned()),
            (Some(_), true) => tell("it is closed, but its span has no end".to_owned()),
            _ => {}
        }
        let has_reason = self
            .reason
            .as_ref()
            .is_some_and(|reason| !reason.is_empty());
        match (self.closed_ms.is_some(), has_reason) {
            (true, false) => tell("it is closed without a reason".to_owned()),
            (false, true) => tell("it is open, but has a reason for its end".to_owned()),
            _ => {}
        }
    }

    /// All it did lies between its span's ends, in order.
    fn span(&self, moved: &Moved, wrongs: &mut Vec<Wrong>) {
        let begin = minute("its span's begin", Minute(self.begin));
        let end = minute("its span's end", Minute(self.end));
        let mut ordered = Vec::new();
        let opened = Timestamp::from_millisecond(self.opened_ms);
        let closed = self.closed_ms.map(Timestamp::from_millisecond).transpose();
        if let (Ok(opened), Ok(closed)) = (&opened, &closed) {
            ordered.push((begin, minute("its opening", Minute::of(*opened))));
            if let Some(closed) = closed {
                let (of_opened, of_closed) = ("its opening", "its closing");
                ordered.push((time(of_opened, *opened), time(of_closed, *closed)));
                ordered.push((minute(of_closed, Minute::of(*closed)), end));
            }
        } else {
            wrongs.push(Wrong::Told("its opening or closing is no time".to_owned()));
        }
        if let Some((first, last)) = moved.span {
            ordered.push((begin, minute("its first minute", first)));
            ordered.push((minute("its last minute", last), end));
        }
        if let Some((first, last)) = self.pruned_span {
            let first = minute("its first expired minute", Minute(first));
            let last = minute("its last expired minute", Minute(last));
            ordered.extend([(begin, first), (first, last), (last, end)]);
        }
        for (earlier, later) in ordered {
            if earlier.at > later.at {
                wrongs.push(Wrong::Times { earlier, later });
            }
        }
        let has_amount = self.pruned.0.iter().any(Option::is_some);
        if self.is_pruned_half || has_amount != self.pruned_span.is_some() {
            let words = "its expired minutes have an amount without a time, or the reverse";
            wrongs.push(Wrong::Told(words.to_owned()));
        }
    }

    /// Amounts that no session can have.
    fn impossible(&self) -> Vec<Wrong> {
        [
            ("its total ", self.total),
            ("its last reading's ", self.reading),
            ("its expired minutes' ", self.pruned),
        ]
        .into_iter()
        .flat_map(|(of, columns)| columns.impossible(of))
        .collect()
    }

    /// Its total is what its minutes say, and not less than its counter showed.
    fn sums(&self, moved: &Moved, wrongs: &mut Vec<Wrong>) {
        let mut minutes = moved.sum;
        minutes.add(self.pruned);
        wrongs.extend(differences(
            ["its minutes", "its total"],
            minutes,
            self.total,
            |minutes, total| match (minutes, total) {
                // Of what nobody knows no minute can tell.
                (minutes, None) => minutes.is_none(),
                (minutes, Some(total)) => minutes.unwrap_or(0) == total,
            },
        ));
        wrongs.extend(differences(
            ["its last reading", "its total"],
            self.reading,
            self.total,
            |reading, total| match (reading, total) {
                // A counter that began anew shows less than the session moved.
                (Some(reading), Some(total)) => reading <= total,
                (reading, total) => reading == total,
            },
        ));
    }

    fn has_restarted(&self) -> bool {
        let figures = self.reading.0.into_iter().zip(self.total.0);
        figures
            .filter_map(|(reading, total)| reading.zip(total))
            .any(|(reading, total)| reading < total)
    }
}

fn time(of: &'static str, at: Timestamp) -> Time {
    Time { of, at }
}

fn minute(of: &'static str, minute: Minute) -> Time {
    time(of, minute.start())
}

/// What a session's minutes hold.
#[derive(Default)]
struct Moved {
    sum: Columns,
    span: Option<(Minute, Minute)>,
}

impl Moved {
    fn add(&mut self, row: &MinuteRow) {
        self.sum.add(row.moved);
        let (first, last) = self.span.unwrap_or((row.minute, row.minute));
        self.span = Some((first.min(row.minute), last.max(row.minute)));
    }
}

/// A row of a minute.
struct MinuteRow {
    session: i64,
    minute: Minute,
    moved: Columns,
}

impl MinuteRow {
    fn subject(&self) -> Subject {
        Subject::Minute {
            minute: self.minute,
            session: self.session,
        }
    }
}

/// All minutes in their sessions' order.
struct Minutes<'a>(rusqlite::Statement<'a>);

impl<'a> Minutes<'a> {
    fn of(connection: &'a Connection) -> rusqlite::Result<Self> {
        let statement = connection.prepare(
            "SELECT session, minute, wire_in, wire_out, payload_in, payload_out
             FROM minute ORDER BY session",
        )?;
        Ok(Self(statement))
    }

    fn rows(&mut self) -> rusqlite::Result<MinutesInOrder<'_>> {
        Ok(MinutesInOrder {
            rows: self.0.query([])?,
            next: None,
            count: 0,
        })
    }
}

struct MinutesInOrder<'a> {
    rows: rusqlite::Rows<'a>,
    next: Option<MinuteRow>,
    count: u64,
}

impl MinutesInOrder<'_> {
    fn take_before(&mut self, session: i64) -> rusqlite::Result<Option<MinuteRow>> {
        self.take_if(|row| row.session < session)
    }

    fn take_of(&mut self, session: i64) -> rusqlite::Result<Option<MinuteRow>> {
        self.take_if(|row| row.session == session)
    }

    fn take(&mut self) -> rusqlite::Result<Option<MinuteRow>> {
        self.take_if(|_| true)
    }

    fn take_if(
        &mut self,
        is_wanted: impl Fn(&MinuteRow) -> bool,
    ) -> rusqlite::Result<Option<MinuteRow>> {
        if self.next.is_none() {
            let row = self.rows.next()?;
            self.next = row
                .map(|row| {
                    Ok::<_, rusqlite::Error>(MinuteRow {
                        session: row.get(0)?,
                        minute: Minute(row.get(1)?),
                        moved: Columns::at(row, 2)?,
                    })
                })
                .transpose()?;
            self.count += u64::from(self.next.is_some());
        }
        if self.next.as_ref().is_some_and(is_wanted) {
            return Ok(self.next.take());
        }
        Ok(None)
    }
}
