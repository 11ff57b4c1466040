//! The kernel's word on names: the table's questions go beside the loop, since
//! name services are asked too, and the answers come back to the table.

use std::time::Duration;

use sshmeter_core::session::{Question, Verdict};

use super::{Daemon, beside::Beside};
use crate::kernel::holder;

/// How soon it is looked again whether a question is due.
const ASK_DELAY: Duration = Duration::from_millis(100);

/// Questions with their answers.
pub(super) type Answers = Vec<(Question, Verdict)>;

/// The questions under way, and whether those that can wait are due too.
#[derive(Debug)]
pub(super) struct Inquiry {
    beside: Beside<Answers>,
    is_due_for_all: bool,
}

impl Inquiry {
    pub(super) fn new() -> Self {
        Self {
            beside: Beside::new(),
            is_due_for_all: true,
        }
    }

    /// Names that were given without the kernel's word are asked about too.
    pub(super) fn about_all(&mut self) {
        self.is_due_for_all = true;
    }

    /// Waits for answers.
    pub(super) async fn answers(&mut self) -> anyhow::Result<Answers> {
        self.beside.answer().await
    }
}

impl Daemon {
    /// Asks what is due. A login that nobody was there for yet is asked about
    /// again soon.
    pub(super) fn inquire(&mut self) {
        if self.inquiry.beside.is_under_way() {
            return;
        }
        let mut questions = self.table.questions(self.clock.now());
        if std::mem::take(&mut self.inquiry.is_due_for_all) {
            questions.extend(self.table.unsettled());
        }
        if !questions.is_empty() {
            self.inquiry.beside.begin(move || {
                let verdicts = holder::verdicts(&questions);
                questions.into_iter().zip(verdicts).collect()
            });
        } else if !self.schedule.inquires_within(ASK_DELAY) && self.table.awaits_a_word() {
            self.schedule.inquire_within(ASK_DELAY);
        }
    }

    pub(super) fn take_answers(&mut self, answers: &Answers) {
        self.table.answer(answers);
        self.inquire();
    }
}
