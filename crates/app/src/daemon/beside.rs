//! Work beside the loop: one look at a time, whose answer the loop waits for
//! among all else. A look may hang in a name service, and holds up nobody.

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

/// A place for one look at a time, and the way its answer comes back.
#[derive(Debug)]
pub(super) struct Beside<A> {
    under_way: bool,
    answers: mpsc::UnboundedReceiver<A>,
    answer: mpsc::UnboundedSender<A>,
}

impl<A: Send + 'static> Beside<A> {
    pub(super) fn new() -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            under_way: false,
            answers,
            answer,
        }
    }

    /// Whether an answer is still owed.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Begins a look, unless one is under way.
    pub(super) fn begin(&mut self, look: impl FnOnce() -> A + Send + 'static) {
        if self.under_way {
            return;
        }
        self.under_way = true;
        let answer = self.answer.clone();
        tokio::task::spawn_blocking(move || {
            // The daemon may be gone by now, and with it the question.
            let _unheard = answer.send(look());
        });
    }

    /// Waits for the answer.
    pub(super) async fn answer(&mut self) -> Result<A> {
        let answer = self.answers.recv().await.context("the look is gone")?;
        self.under_way = false;
        Ok(answer)
    }
}
