//! A wall clock that a test sets, for a machine's meter and log.
//!
//! No namespace has a wall clock of its own, so sshmeter and rsyslogd live with
//! libfaketime's, which reads how far it is off from a file. Monotonic clocks
//! stay real, as in a stepped machine; so does the clock of everything else.

use std::time::Duration;

use crate::{ground::binary, machine::Machine, wait_for};

const OFFSET: &str = "/run/offset";

impl Machine {
    /// Makes the machine's meter and log follow the clock of [`Self::step`]; both
    /// are those that rsyslogd's machines have.
    pub fn live_by_its_own_clock(&mut self) {
        let library = self
            .server()
            .shell("ls /usr/lib/*/faketime/libfaketimeMT.so.1");
        let environment = format!(
            "LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={OFFSET} FAKETIME_NO_CACHE=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1",
            library.trim()
        );
        self.step("+0");
        self.server().install(binary(), "/usr/local/bin/meter");
        self.server().write(
            "/usr/local/bin/sshmeter",
            &format!("#!/bin/sh\nexec env {environment} /usr/local/bin/meter \"$@\"\n"),
        );
        self.server().shell(
            "chmod +x /usr/local/bin/sshmeter
            sed -i 's/SysSock.RateLimit/SysSock.UseSysTimeStamp=\"off\" &/' /etc/rsyslog.conf",
        );
        self.stop_service("rsyslogd");
        let command = format!("exec env {environment} rsyslogd -n -iNONE");
        self.start_service("rsyslogd", "bash", &["-c", &command]);
        wait_for("the log's socket", Duration::from_secs(10), || {
            let sent = self
                .server()
                .output("logger", &["-p", "auth.info", "hello"]);
            sent.status.success().then_some(())
        });
    }

    /// Sets that clock so far off the real one: `+3600`, `-20`, in seconds.
    pub fn step(&self, offset: &str) {
        let file = format!("{OFFSET}.new");
        self.server().write(&file, &format!("{offset}\n"));
        self.server().shell(&format!("mv {file} {OFFSET}"));
    }
}
