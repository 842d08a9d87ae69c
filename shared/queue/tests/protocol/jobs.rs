//! The protocol of a queue without an engine: what enqueueing, leasing, settling, reclaiming, promoting and
//! replaying do to the jobs. Every step is atomic, as in the engines.

use std::fmt;

/// Limits that end a job which does not end by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts of a job.
    pub(crate) attempts: u8,
    /// Expired leases at which a job is dead-lettered.
    pub(crate) lost_leases: u8,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Ready,
    /// Its number is that of the delivery, which fences earlier ones.
    Leased(u8),
    /// Waits for its due time.
    Delayed,
    Succeeded,
    Rejected,
    Dead,
}

impl Place {
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejected | Self::Dead)
    }
}

/// A job that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    pub(crate) place: Place,
    /// Attempts used up.
    pub(crate) attempts: u8,
    pub(crate) lost_leases: u8,
    pub(crate) deliveries: u8,
    /// Times that it ended since it was accepted or replayed.
    pub(crate) ends: u8,
}

/// The right to settle a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lease {
    pub(crate) job: usize,
    pub(crate) delivery: u8,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} delivery {}", self.job, self.delivery)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    Succeeded,
    Rejected,
    Retry,
    Dead,
    HandBack,
}

/// All jobs of a queue, by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jobs {
    /// `None`: not enqueued, or answered with another job.
    pub(crate) all: Vec<Option<Job>>,
    /// The idempotency key of each job.
    pub(crate) keys: Vec<Option<usize>>,
    /// The job that each key belongs to.
    holders: Vec<Option<usize>>,
}

impl Jobs {
    /// No job yet, but the key that each will have.
    pub(crate) fn with_keys(keys: Vec<Option<usize>>) -> Self {
        let highest = keys.iter().flatten().max();
        Self {
            all: vec![None; keys.len()],
            holders: vec![None; highest.map_or(0, |key| key + 1)],
            keys,
        }
    }

    /// Returns the job that does the work: this one, or the one that has the key.
    pub(crate) fn enqueue(&mut self, job: usize) -> usize {
        if self.all[job].is_some() {
            return job;
        }
        if let Some(key) = self.keys[job] {
            if let Some(holder) = self.holders[key] {
                return holder;
            }
            self.holders[key] = Some(job);
        }
        self.all[job] = Some(Job {
            place: Place::Ready,
            attempts: 0,
            lost_leases: 0,
            deliveries: 0,
            ends: 0,
        });
        job
    }

    /// `None`: the job is not ready.
    pub(crate) fn lease(&mut self, job: usize) -> Option<Lease> {
        let found = self.all[job].as_mut()?;
        if found.place != Place::Ready {
            return None;
        }
        found.deliveries += 1;
        found.place = Place::Leased(found.deliveries);
        Some(Lease {
            job,
            delivery: found.deliveries,
        })
    }

    /// Returns whether it took effect.
    pub(crate) fn settle(&mut self, lease: Lease, outcome: Outcome) -> bool {
        let held = self.all[lease.job].as_ref();
        if held.is_none_or(|job| job.place != Place::Leased(lease.delivery)) {
            return false;
        }
        self.settle_unfenced(lease.job, outcome);
        true
    }

    /// Settles whoever holds the lease: a defect, to see that the properties reveal it.
    pub(crate) fn settle_unfenced(&mut self, number: usize, outcome: Outcome) {
        let Some(job) = self.all[number].as_mut() else {
            return;
        };
        if outcome != Outcome::HandBack {
            job.attempts += 1;
        }
        match outcome {
            Outcome::Retry => job.place = Place::Delayed,
            Outcome::HandBack => job.place = Place::Ready,
            Outcome::Succeeded => self.end(number, Place::Succeeded),
            Outcome::Rejected => self.end(number, Place::Rejected),
            Outcome::Dead => self.end(number, Place::Dead),
        }
    }

    /// Ends the lease of a job as reclaiming does when it has expired; returns whether it was leased.
    pub(crate) fn expire(&mut self, number: usize, limits: Limits) -> bool {
        let Some(job) = self.all[number].as_mut() else {
            return false;
        };
        if !matches!(job.place, Place::Leased(_)) {
            return false;
        }
        job.attempts += 1;
        job.lost_leases += 1;
        if job.lost_leases >= limits.lost_leases || job.attempts >= limits.attempts {
            self.end(number, Place::Dead);
        } else {
            job.place = Place::Ready;
        }
        true
    }

    /// Makes a job ready whose due time has come; returns whether it was delayed.
    pub(crate) fn promote(&mut self, number: usize) -> bool {
        match self.all[number].as_mut() {
            Some(job) if job.place == Place::Delayed => {
                job.place = Place::Ready;
                true
            }
            _ => false,
        }
    }

    /// Starts a dead letter over; returns whether the job was one.
    pub(crate) fn replay(&mut self, number: usize) -> bool {
        let Some(job) = self.all[number].as_mut() else {
            return false;
        };
        if job.place != Place::Dead {
            return false;
        }
        job.place = Place::Ready;
        (job.attempts, job.lost_leases, job.ends) = (0, 0, 0);
        if let Some(key) = self.keys[number] {
            self.holders[key].get_or_insert(number);
        }
        true
    }

    /// Numbers of the jobs in this place.
    pub(crate) fn at(&self, place: Place) -> impl Iterator<Item = usize> {
        let at = move |(number, job): (usize, &Option<Job>)| {
            let job = job.as_ref()?;
            (job.place == place).then_some(number)
        };
        self.all.iter().enumerate().filter_map(at)
    }

    fn end(&mut self, number: usize, place: Place) {
        if let Some(job) = self.all[number].as_mut() {
            job.place = place;
            job.ends += 1;
        }
        if place == Place::Dead
            && let Some(key) = self.keys[number]
        {
            let holder = &mut self.holders[key];
            *holder = holder.filter(|holder| *holder != number);
        }
    }
}
