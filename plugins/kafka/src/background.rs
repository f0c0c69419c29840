//! A thread that asks brokers questions whose answers may take long, so that no call of a stage
//! blocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How long one question to a broker may take.
pub(crate) const QUESTION: Duration = Duration::from_millis(1_500);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// A worker thread: jobs in, answers out, in order.
pub(crate) struct Background<J, A> {
    jobs: Option<Sender<J>>,
    answers: Receiver<A>,
    stop: Arc<AtomicBool>,
    waiting: usize,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static, A: Send + 'static> Background<J, A> {
    /// Starts it. `work` is asked for a job's answer until it has one.
    pub fn spawn(mut work: impl FnMut(&J) -> Option<A> + Send + 'static) -> std::io::Result<Self> {
        let (jobs, inbox) = channel::<J>();
        let (outbox, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("kafka-questions".into())
            .spawn(move || {
                for job in inbox {
                    loop {
                        if stopped.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Some(answer) = work(&job) {
                            if outbox.send(answer).is_err() {
                                return;
                            }
                            break;
                        }
                        std::thread::park_timeout(PAUSE);
                    }
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            answers,
            stop,
            waiting: 0,
            thread: Some(thread),
        })
    }

    /// Puts a question.
    pub fn ask(&mut self, job: J) {
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        self.waiting += usize::from(sent);
    }

    /// Questions not answered yet.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// An answer, if there is one.
    pub fn answer(&mut self) -> Option<A> {
        match self.answers.try_recv() {
            Ok(answer) => {
                self.waiting -= 1;
                Some(answer)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}

impl<J, A> Drop for Background<J, A> {
    /// Ends the thread: at once when it is idle; else when its question is answered, which nobody
    /// waits for.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if self.waiting == 0 {
                // A panic in there has already been reported by its hook.
                let _ = thread.join();
            }
        }
    }
}
