//! Work for threads: a bounded queue, and the bookkeeping of who works at it.
//!
//! The threads themselves are the host's. It starts one where [`JobQueue::put`] wants one, and each asks
//! [`JobQueue::next`] for work until that says that there is none for it any more.
//!
//! Laws:
//! - A job has one owner: the queue, the thread that works at it, or whoever took it back.
//! - A thread is woken only if one sleeps that nobody has woken yet.
//! - No job is dropped under the lock, which is held for a few instructions and never while anything else is
//!   waited for.
//!
//! | state | `put` | waiting jobs | threads |
//! | --- | --- | --- | --- |
//! | Running | takes | are run | live on |
//! | Draining | refuses | are run | leave when nothing waits |
//! | Stopped | refuses | were given back | leave |

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What becomes of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Jobs are taken and run.
    Running,
    /// No more are taken; those that wait are run.
    Draining,
    /// None is run any more.
    Stopped,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// So many wait already, which is the limit.
    Full(usize),
    /// The queue takes no more jobs.
    Closed,
}

/// A job that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Names the job for [`JobQueue::take_back`].
    pub number: u64,
    /// The host is to start one more thread; it is counted already.
    pub wants_thread: bool,
}

/// What a queue has done and is about to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Threads there may be.
    pub size: usize,
    /// Jobs that may wait.
    pub max_waiting: usize,
    /// Threads there are, or that are being started.
    pub threads: usize,
    /// Jobs that are being run.
    pub running: usize,
    /// Jobs that wait.
    pub waiting: usize,
    /// Jobs that were run.
    pub completed: u64,
    /// Jobs that were taken back.
    pub cancelled: u64,
    /// Jobs that were not taken because too many waited.
    pub refused: u64,
    /// The most that have waited at one time.
    pub most_waiting: usize,
}

struct Inner<J> {
    state: State,
    jobs: VecDeque<(u64, J)>,
    next_number: u64,
    /// Threads that sleep and that nobody has woken.
    idle: usize,
    /// Threads that were woken and have not noticed yet.
    called: usize,
    counts: Statistics,
}

/// A bounded queue of jobs for a number of threads.
pub struct JobQueue<J> {
    inner: Mutex<Inner<J>>,
    work: Condvar,
}

impl<J> JobQueue<J> {
    /// An empty queue for at most `size` threads, in which at most `max_waiting` jobs wait.
    pub fn new(size: usize, max_waiting: usize) -> Self {
        let inner = Inner {
            state: State::Running,
            jobs: VecDeque::new(),
            next_number: 0,
            idle: 0,
            called: 0,
            counts: Statistics { size, max_waiting, ..Statistics::default() },
        };
        JobQueue { inner: Mutex::new(inner), work: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        // Nothing under the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes one thread, if one sleeps.
    fn call_one(&self, inner: &mut Inner<J>) -> bool {
        if inner.idle == 0 {
            return false;
        }
        inner.idle -= 1;
        inner.called += 1;
        self.work.notify_one();
        true
    }

    /// Takes a job.
    ///
    /// # Errors
    /// The job, and why it was not taken.
    pub fn put(&self, job: J) -> Result<Ticket, (J, Refusal)> {
        let mut inner = self.lock();
        if inner.state != State::Running {
            return Err((job, Refusal::Closed));
        }
        let limit = inner.counts.max_waiting;
        // Who waits for nothing but a thread that is free or may be started does not count.
        let free = inner.idle + inner.coming() + inner.room();
        if inner.jobs.len() >= limit.saturating_add(free) {
            inner.counts.refused += 1;
            return Err((job, Refusal::Full(limit)));
        }
        let number = inner.next_number;
        inner.next_number += 1;
        inner.jobs.push_back((number, job));
        let waiting = inner.jobs.len();
        inner.counts.most_waiting = inner.counts.most_waiting.max(waiting);
        let wants_thread =
            !self.call_one(&mut inner) && inner.room() > 0 && waiting > inner.coming();
        if wants_thread {
            inner.counts.threads += 1;
        }
        Ok(Ticket { number, wants_thread })
    }

    /// Takes a job back that nobody has begun with.
    pub fn take_back(&self, number: u64) -> Option<J> {
        let mut inner = self.lock();
        let index = inner.jobs.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, job) = inner.jobs.remove(index)?;
        inner.counts.cancelled += 1;
        Some(job)
    }

    /// What a thread finds without sleeping: a job, `Some(None)` if it is not needed any more, or nothing.
    fn look(&self, inner: &mut Inner<J>) -> Option<Option<J>> {
        let is_over = match inner.state {
            State::Running => inner.counts.threads > inner.counts.size,
            State::Draining => inner.jobs.is_empty(),
            State::Stopped => true,
        };
        if is_over {
            inner.counts.threads -= 1;
            if !inner.jobs.is_empty() {
                // Perhaps this very thread was woken for one of them.
                self.call_one(inner);
            }
            return Some(None);
        }
        let (_, job) = inner.jobs.pop_front()?;
        inner.counts.running += 1;
        Some(Some(job))
    }

    /// The next job for a thread, if there is one at once: the same as [`JobQueue::next`] in `Some`, or `None` where
    /// that would sleep.
    pub fn next_nowait(&self) -> Option<Option<J>> {
        self.look(&mut self.lock())
    }

    /// The next job for a thread, which sleeps until there is one. `None`: it is not needed any more, and is not
    /// counted any more.
    pub fn next(&self) -> Option<J> {
        let mut inner = self.lock();
        loop {
            if let Some(found) = self.look(&mut inner) {
                return found;
            }
            inner.idle += 1;
            loop {
                inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
                if inner.called > 0 {
                    inner.called -= 1;
                    break;
                }
                if inner.state != State::Running || inner.counts.threads > inner.counts.size {
                    inner.idle -= 1;
                    break;
                }
            }
        }
    }

    /// A thread has run its job and will come back for the next one.
    pub fn done(&self) {
        let mut inner = self.lock();
        inner.counts.running -= 1;
        inner.counts.completed += 1;
    }

    /// As [`JobQueue::done`], for a job that was given up before the thread had begun with it.
    pub fn skipped(&self) {
        let mut inner = self.lock();
        inner.counts.running -= 1;
        inner.counts.cancelled += 1;
    }

    /// A thread that was wanted could not be started. True: there are others.
    pub fn not_started(&self) -> bool {
        let mut inner = self.lock();
        inner.counts.threads -= 1;
        inner.counts.threads > 0
    }

    /// Changes the limits; gives how many threads the host is to start, counted already.
    pub fn set_limits(&self, size: usize, max_waiting: usize) -> usize {
        let mut inner = self.lock();
        inner.counts.size = size;
        inner.counts.max_waiting = max_waiting;
        self.work.notify_all();
        if inner.state == State::Stopped {
            return 0;
        }
        let wanted = inner.jobs.len().saturating_sub(inner.coming()).min(inner.room());
        inner.counts.threads += wanted;
        wanted
    }

    /// Takes no more jobs; those that wait are run.
    pub fn drain(&self) {
        let mut inner = self.lock();
        if inner.state == State::Running {
            inner.state = State::Draining;
        }
        self.work.notify_all();
    }

    /// Takes no more jobs, and gives back those that wait.
    pub fn stop(&self) -> Vec<J> {
        let mut inner = self.lock();
        inner.state = State::Stopped;
        self.work.notify_all();
        let jobs = std::mem::take(&mut inner.jobs);
        inner.counts.cancelled += jobs.len() as u64;
        drop(inner);
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// What becomes of the jobs.
    pub fn state(&self) -> State {
        self.lock().state
    }

    /// Counters.
    pub fn statistics(&self) -> Statistics {
        let inner = self.lock();
        Statistics { waiting: inner.jobs.len(), ..inner.counts }
    }
}

impl<J> Inner<J> {
    /// Threads that may still be started.
    fn room(&self) -> usize {
        self.counts.size.saturating_sub(self.counts.threads)
    }

    /// Threads that will look for a job at once, without anybody's doing.
    fn coming(&self) -> usize {
        // Those that were woken, are done with their job, or are being started.
        let known = self.idle + self.counts.running;
        self.counts.threads.saturating_sub(known)
    }
}

/// A thread that gives way: when it is woken it pushes nobody aside, so that it does not interrupt the loop which has
/// woken it and still has the host's lock.
///
/// It is for the time of sleeping and of waiting for that lock. What a job starts would inherit it, and a job is not to
/// run otherwise than it would elsewhere. Where a policy was chosen already, that stays.
#[derive(Debug)]
pub struct GivingWay {
    is_ours: bool,
}

fn set_policy(policy: libc::c_int) -> bool {
    // SAFETY: a live structure, for which zeroes mean no priority; an error leaves everything as it was.
    unsafe {
        let parameters: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, policy, &raw const parameters) == 0
    }
}

impl GivingWay {
    /// From now on, for the calling thread.
    pub fn begin() -> Self {
        // SAFETY: no pointers; the calling thread.
        let is_usual = unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER;
        GivingWay { is_ours: is_usual && set_policy(libc::SCHED_BATCH) }
    }
}

impl Drop for GivingWay {
    fn drop(&mut self) {
        if self.is_ours {
            set_policy(libc::SCHED_OTHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn put<J: std::fmt::Debug>(queue: &JobQueue<J>, job: J) -> Ticket {
        queue.put(job).expect("a place")
    }

    #[test]
    fn threads_are_wanted_one_by_one_up_to_the_size() {
        let queue = JobQueue::new(2, 10);
        assert!(put(&queue, 'a').wants_thread);
        assert!(put(&queue, 'b').wants_thread);
        assert!(!put(&queue, 'c').wants_thread);
        assert_eq!(queue.statistics().threads, 2);
    }

    #[test]
    fn a_thread_on_its_way_back_is_as_good_as_a_new_one() {
        let queue = JobQueue::new(2, 10);
        put(&queue, 'a');
        assert_eq!(queue.next(), Some('a'));
        queue.done();
        assert!(!put(&queue, 'b').wants_thread);
        assert!(put(&queue, 'c').wants_thread);
        assert_eq!(queue.next(), Some('b'));
    }

    #[test]
    fn jobs_leave_in_their_order_and_one_can_be_taken_back() {
        let queue = JobQueue::new(1, 10);
        let tickets = ['a', 'b', 'c'].map(|job| put(&queue, job).number);
        assert_eq!(queue.take_back(tickets[1]), Some('b'));
        assert_eq!(queue.take_back(tickets[1]), None);
        assert_eq!(queue.next(), Some('a'));
        assert_eq!(queue.take_back(tickets[0]), None);
        queue.done();
        assert_eq!(queue.next(), Some('c'));
        assert_eq!((queue.statistics().completed, queue.statistics().cancelled), (1, 1));
    }

    #[test]
    fn looking_does_not_sleep() {
        let queue = JobQueue::new(1, 10);
        put(&queue, 'a');
        assert_eq!(queue.next_nowait(), Some(Some('a')));
        queue.done();
        assert_eq!(queue.next_nowait(), None);
        queue.drain();
        assert_eq!(queue.next_nowait(), Some(None));
        assert_eq!(queue.statistics().threads, 0);
    }

    #[test]
    fn a_full_queue_refuses_and_gives_the_job_back() {
        let queue = JobQueue::new(1, 1);
        put(&queue, 'a');
        assert_eq!(queue.next(), Some('a'));
        put(&queue, 'b');
        assert_eq!(queue.put('c'), Err(('c', Refusal::Full(1))));
        assert_eq!(queue.statistics().refused, 1);
    }

    #[test]
    fn no_job_may_wait_where_the_limit_is_zero_but_a_free_thread_takes_one() {
        let queue = JobQueue::new(1, 0);
        put(&queue, 'a');
        assert_eq!(queue.next(), Some('a'));
        assert_eq!(queue.put('b'), Err(('b', Refusal::Full(0))));
        queue.done();
        put(&queue, 'b');
    }

    #[test]
    fn a_drained_queue_runs_what_waits_and_takes_nothing() {
        let queue = JobQueue::new(1, 10);
        put(&queue, 'a');
        queue.drain();
        assert_eq!(queue.put('b'), Err(('b', Refusal::Closed)));
        assert_eq!(queue.next(), Some('a'));
        queue.done();
        assert_eq!(queue.next(), None);
        assert_eq!(queue.statistics().threads, 0);
    }

    #[test]
    fn a_stopped_queue_gives_back_what_waits() {
        let queue = JobQueue::new(1, 10);
        put(&queue, 'a');
        put(&queue, 'b');
        assert_eq!(queue.next(), Some('a'));
        assert_eq!(queue.stop(), ['b']);
        queue.done();
        assert_eq!(queue.next(), None);
        assert_eq!(queue.state(), State::Stopped);
    }

    #[test]
    fn a_smaller_size_sends_threads_away_and_a_larger_one_wants_them() {
        let queue = JobQueue::new(2, 10);
        for job in ['a', 'b', 'c', 'd'] {
            put(&queue, job);
        }
        assert_eq!(queue.next(), Some('a'));
        assert_eq!(queue.next(), Some('b'));
        assert_eq!(queue.set_limits(1, 10), 0);
        queue.done();
        assert_eq!(queue.next(), None);
        assert_eq!(queue.set_limits(8, 10), 2);
        assert_eq!(queue.statistics().threads, 3);
    }

    #[test]
    fn a_thread_that_could_not_be_started_is_not_counted() {
        let queue = JobQueue::new(1, 10);
        assert!(put(&queue, 'a').wants_thread);
        assert!(!queue.not_started());
        assert!(put(&queue, 'b').wants_thread);
    }

    #[test]
    fn many_threads_run_each_job_once() {
        const JOBS: usize = 20_000;
        let queue = Arc::new(JobQueue::<usize>::new(4, JOBS));
        let runs: Arc<Vec<AtomicUsize>> =
            Arc::new((0..JOBS).map(|_| AtomicUsize::new(0)).collect());
        let start = || {
            let (queue, runs) = (Arc::clone(&queue), Arc::clone(&runs));
            std::thread::spawn(move || {
                while let Some(job) = queue.next() {
                    runs[job].fetch_add(1, Ordering::Relaxed);
                    queue.done();
                }
            })
        };
        let mut threads: Vec<std::thread::JoinHandle<()>> = Vec::new();
        let mut taken_back = 0;
        for job in 0..JOBS {
            let ticket = put(&queue, job);
            threads.extend(ticket.wants_thread.then(start));
            match job % 1000 {
                0 => {
                    let wanted = queue.set_limits(1 + job / 1000 % 4, JOBS);
                    threads.extend((0..wanted).map(|_| start()));
                }
                7 => taken_back += usize::from(queue.take_back(ticket.number).is_some()),
                _ => {}
            }
        }
        queue.drain();
        for thread in threads {
            thread.join().expect("no panic");
        }
        let total: usize = runs.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert!(runs.iter().all(|count| count.load(Ordering::Relaxed) <= 1));
        assert_eq!(total + taken_back, JOBS);
        let counts = queue.statistics();
        assert_eq!((counts.threads, counts.running, counts.waiting), (0, 0, 0));
    }
}
