//! The dataflow kit: backpressure to the item, and stages that fail, panic and stall.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use swath::flow::{Admission, Admitted, Budget, Graph, GraphError, Outbox, Stage, Stop, Waiting};

/// Nothing in these tests takes longer unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A gate that workers wait at until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let guard = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(guard, DEADLINE, |open| !*open).unwrap());
    }
}

/// Counts what it passes on.
struct Count(Arc<AtomicUsize>);

impl Stage for Count {
    type In = Admitted<usize>;
    type Out = usize;
    type Error = Infallible;

    fn process(&mut self, item: Admitted<usize>, out: &Outbox<'_, usize>) -> Result<(), Infallible> {
        self.0.fetch_add(1, Ordering::SeqCst);
        out.put(item.work);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Work,
    Fail,
    Panic,
}

#[derive(Debug, thiserror::Error)]
#[error("item {0} is too much")]
struct TooMuch(usize);

impl From<Infallible> for TooMuch {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Waits at a gate, then works or does not.
struct Moody {
    gate: Gate,
    at: usize,
    mood: Mood,
}

impl Stage for Moody {
    type In = usize;
    type Out = usize;
    type Error = TooMuch;

    fn process(&mut self, item: usize, out: &Outbox<'_, usize>) -> Result<(), TooMuch> {
        self.gate.pass();
        match self.mood {
            Mood::Fail if item == self.at => return Err(TooMuch(item)),
            Mood::Panic if item == self.at => panic!("item {item} was asked for"),
            Mood::Work | Mood::Fail | Mood::Panic => {}
        }
        out.put(item);
        Ok(())
    }
}

struct Chain {
    graph: Graph<TooMuch>,
    taken: Arc<AtomicUsize>,
    ends: swath::flow::Inlet<usize>,
}

/// count x1 -> (link of 3) -> moody x2 -> (link of `room`) -> nobody yet.
fn chain(n: usize, gate: &Gate, at: usize, mood: Mood, room: usize) -> Chain {
    let stop = Stop::new();
    let mut graph = Graph::new(stop.clone());
    let taken = Arc::new(AtomicUsize::new(0));
    let admission = Admission::new(
        (0..n).map(|work| Waiting { work, cost: 1, alone: false }).collect(),
        Budget::new(1 << 20),
        stop,
    );
    let (counted, to_moody) = graph.link(3);
    let (out, ends) = graph.link(room);
    graph.spawn("count", vec![Count(Arc::clone(&taken))], admission, counted).unwrap();
    let moody = || Moody { gate: gate.clone(), at, mood };
    graph.spawn("moody", vec![moody(), moody()], to_moody, out).unwrap();
    Chain { graph, taken, ends }
}

fn wait_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < DEADLINE, "waited in vain");
        std::thread::yield_now();
    }
}

#[test]
fn a_stalled_stage_stops_the_ones_before_at_link_capacity_plus_workers() {
    let gate = Gate::default();
    let chain = chain(1000, &gate, 0, Mood::Work, 1000);
    // One in the hands of each of two workers, three in the link, one in the hands of the first stage.
    wait_until(|| chain.taken.load(Ordering::SeqCst) == 2 + 3 + 1);
    for _ in 0..1000 {
        std::thread::yield_now();
        assert_eq!(chain.taken.load(Ordering::SeqCst), 6);
    }
    gate.open();
    let mut ends = Vec::new();
    while let Some(item) = chain.ends.recv() {
        ends.push(item);
    }
    ends.sort_unstable();
    assert!(ends.into_iter().eq(0..1000));
    let reports = chain.graph.join().unwrap();
    assert_eq!(reports.iter().map(|r| (r.items, r.workers)).collect::<Vec<_>>(), [(1000, 1), (1000, 2)]);
}

#[test]
fn an_error_or_a_panic_at_any_item_ends_everything_and_is_the_reported_cause() {
    for mood in [Mood::Fail, Mood::Panic] {
        for at in [0, 1, 7, 49] {
            // With room for one item the workers wait in their sends as well when the end comes.
            for room in [1, 100] {
                let gate = Gate::default();
                gate.open();
                let chain = chain(50, &gate, at, mood, room);
                while chain.ends.recv().is_some() {}
                let error = chain.graph.join().unwrap_err();
                match (mood, &error) {
                    (Mood::Fail, GraphError::Stage { stage, source }) => {
                        assert_eq!((stage.as_str(), source.to_string()), ("moody", format!("item {at} is too much")));
                    }
                    (Mood::Panic, GraphError::Panic { stage, message }) => {
                        assert_eq!(stage, "moody");
                        assert!(message.contains(&format!("item {at} was asked for")), "{message}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn dropping_a_graph_ends_workers_that_wait() {
    let gate = Gate::default();
    gate.open();
    // Nobody takes what comes out: all workers end up waiting in a send.
    let chain = chain(1000, &gate, 0, Mood::Work, 1);
    wait_until(|| chain.taken.load(Ordering::SeqCst) >= 4);
    drop(chain.graph);
    assert_eq!(chain.ends.recv(), None);
}
