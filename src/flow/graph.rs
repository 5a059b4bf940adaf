//! Spawns workers, joins them, and reports the first cause of a failure. The only place that starts threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::link::{Inlet, Outlet, link};
use super::meter::{StageMeter, StageReport};
use super::panics::panic_message;
use super::pulse::Pulse;
use super::stage::{Failed, Watched, run};
use super::{Emit, Source, Stage, Stop};
use crate::faults::FaultPlan;

/// Why a graph ended before its work did. `E` is what ends its stages.
#[derive(Debug, thiserror::Error)]
pub enum GraphError<E> {
    /// A stage returned an error.
    #[error("the stage `{stage}` cannot go on")]
    Stage {
        /// Name of the stage.
        stage: String,
        /// Its error.
        #[source]
        source: Box<E>,
    },
    /// A stage was told to fail.
    #[error("the stage `{stage}` cannot go on: planted fault")]
    Planted {
        /// Name of the stage.
        stage: String,
    },
    /// A stage panicked: a bug.
    #[error("the stage `{stage}` failed internally: {message}; this is a bug in swath")]
    Panic {
        /// Name of the stage.
        stage: String,
        /// The panic's message.
        message: String,
    },
    /// The system gave no thread.
    #[error("cannot start a thread for the stage `{stage}`")]
    Spawn {
        /// Name of the stage.
        stage: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The running stages, whose errors are all some `E`.
#[derive(Debug)]
pub struct Graph<E> {
    stop: Stop,
    workers: Vec<JoinHandle<()>>,
    meters: Vec<(String, usize, Arc<StageMeter>)>,
    pulses: Vec<(String, Arc<Pulse>)>,
    faults: FaultPlan,
    first_error: Arc<Mutex<Option<GraphError<E>>>>,
}

impl<E: Send + 'static> Graph<E> {
    /// A graph without stages.
    pub fn new(stop: Stop) -> Self {
        Self {
            stop,
            workers: Vec::new(),
            meters: Vec::new(),
            pulses: Vec::new(),
            faults: FaultPlan::default(),
            first_error: Arc::default(),
        }
    }

    /// With other faults than those of the environment.
    #[must_use]
    pub fn with_faults(mut self, faults: FaultPlan) -> Self {
        self.faults = faults;
        self
    }

    /// A link between two stages that holds up to `capacity` items.
    pub fn link<T>(&self, capacity: usize) -> (Outlet<T>, Inlet<T>) {
        link(capacity, &self.stop)
    }

    /// Starts one worker per stage value, all fed from clones of one source and giving to clones of one output.
    ///
    /// # Errors
    /// When the system gives no thread; the graph is stopped then.
    pub fn spawn<S, I, O>(&mut self, name: &str, workers: Vec<S>, input: I, output: O) -> Result<(), GraphError<E>>
    where
        S: Stage + 'static,
        E: From<S::Error>,
        I: Source<S::In> + Clone + 'static,
        O: Emit<S::Out> + Clone + 'static,
    {
        let (meter, faults) = (self.meter(name, workers.len()), self.faults.at(name));
        for stage in workers {
            let (input, output, meter, faults) = (input.clone(), output.clone(), Arc::clone(&meter), faults.clone());
            let (pulse, stop) = (self.pulse(name), self.stop.clone());
            self.thread(name, move || run(stage, &input, &output, &Watched { meter, pulse, faults, stop }))?;
        }
        Ok(())
    }

    /// As [`Self::spawn`] where each worker has a link of its own: what is routed to one worker stays in order there.
    ///
    /// # Errors
    /// When the system gives no thread; the graph is stopped then.
    pub fn spawn_routed<S, I, O>(&mut self, name: &str, workers: Vec<(S, I)>, output: O) -> Result<(), GraphError<E>>
    where
        S: Stage + 'static,
        E: From<S::Error>,
        I: Source<S::In> + 'static,
        O: Emit<S::Out> + Clone + 'static,
    {
        let (meter, faults) = (self.meter(name, workers.len()), self.faults.at(name));
        for (stage, input) in workers {
            let (output, meter, faults) = (output.clone(), Arc::clone(&meter), faults.clone());
            let (pulse, stop) = (self.pulse(name), self.stop.clone());
            self.thread(name, move || run(stage, &input, &output, &Watched { meter, pulse, faults, stop }))?;
        }
        Ok(())
    }

    fn meter(&mut self, name: &str, workers: usize) -> Arc<StageMeter> {
        let meter = Arc::new(StageMeter::default());
        self.meters.push((name.to_owned(), workers, Arc::clone(&meter)));
        meter
    }

    fn pulse(&mut self, name: &str) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::default());
        self.pulses.push((name.to_owned(), Arc::clone(&pulse)));
        pulse
    }

    /// Signs of life of every worker, with its stage.
    pub(super) fn pulses(&self) -> impl Iterator<Item = (&str, &Pulse)> {
        self.pulses.iter().map(|(name, pulse)| (name.as_str(), pulse.as_ref()))
    }

    fn thread<F>(&mut self, name: &str, work: F) -> Result<(), GraphError<E>>
    where
        F: FnOnce() -> Result<(), Failed<E>> + Send + 'static,
    {
        let (stage, stop, first) = (name.to_owned(), self.stop.clone(), Arc::clone(&self.first_error));
        let body = move || {
            // Caught so that the ends of its links close and the others learn of it; the work is never resumed.
            let error = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(())) => return,
                Ok(Err(Failed::Stage(source))) => GraphError::Stage { stage, source: Box::new(source) },
                Ok(Err(Failed::Planted)) => GraphError::Planted { stage },
                Err(payload) => GraphError::Panic { stage, message: panic_message(payload.as_ref()) },
            };
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            stop.trip();
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        match spawned {
            Ok(handle) => {
                self.workers.push(handle);
                Ok(())
            }
            Err(source) => {
                self.stop.trip();
                Err(GraphError::Spawn { stage: name.to_owned(), source })
            }
        }
    }

    /// Whether all workers are gone, so that joining them does not wait.
    pub fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// What each stage has done so far.
    pub fn reports(&self) -> Vec<StageReport> {
        self.meters.iter().map(|(name, workers, meter)| meter.report(name, *workers)).collect()
    }

    /// Waits until all workers are gone.
    ///
    /// # Errors
    /// The first error or panic of a stage.
    pub fn join(mut self) -> Result<Vec<StageReport>, GraphError<E>> {
        self.wait();
        match self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(self.reports()),
        }
    }
}

impl<E> Graph<E> {
    fn wait(&mut self) {
        for worker in self.workers.drain(..) {
            // A panic was caught and noted inside the thread.
            drop(worker.join());
        }
    }
}

impl<E> Drop for Graph<E> {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.stop.trip();
            self.wait();
        }
    }
}
