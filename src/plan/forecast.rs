//! How long a plan takes: the schedule of a run played through, with times that are given for its parts. Pure: it knows no clock, and no
//! device need be there.
//!
//! What is played is what a run joins: units enter in the plan's order when a reader and their bytes are free, one tiler
//! cuts them into batches, each batch goes to the first device of every group that has room for it, links hold
//! `LINK_CAPACITY` items, and what is classified is averaged, stitched and encoded. Left out is what a run does not wait for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::{LINK_CAPACITY, Part, Plan, Scene, Schedule, Unit};

/// What the parts of a run take.
pub struct Rates<'a> {
    /// Seconds that a pass, by its number in the plan, takes over a batch with so many pixels.
    pub pass: &'a dyn Fn(usize, u64) -> f64,
    /// What is not spent in passes.
    pub host: HostRates,
}

/// What a host takes beside the devices, in seconds. Nothing, where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostRates {
    /// Until the first pass can begin, at least: processes that decode start, the first unit is read.
    pub before: f64,
    /// Behind the last pass, at least: the last files are written and synced.
    pub behind: f64,
    /// A reader, per byte that it decodes.
    pub read: f64,
    /// The tiler, per byte of the crops.
    pub tile: f64,
    /// A device's worker beside the passes, per pixel that networks see.
    pub infer: f64,
    /// The averager, per pixel of a scene.
    pub average: f64,
    /// The stitcher, per pixel of a scene.
    pub stitch: f64,
    /// An encoder, and what is done to labels before, likewise.
    pub encode: f64,
}

/// How a run would go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// From the first read to the last file.
    pub makespan: Duration,
    /// Time in forward passes, by device.
    pub busy: Vec<Duration>,
}

impl Forecast {
    /// Share of the time that each device is idle.
    pub fn idle(&self) -> Vec<f64> {
        let all = self.makespan.as_secs_f64();
        let idle = |busy: &Duration| if all > 0.0 { 1.0 - busy.as_secs_f64() / all } else { 0.0 };
        self.busy.iter().map(idle).collect()
    }
}

/// Plays the units of the scenes that are open.
pub fn forecast(plan: &Plan, schedule: &Schedule, rates: &Rates<'_>, is_open: &dyn Fn(usize) -> bool) -> Forecast {
    let groups = schedule.assignment.groups();
    let depth = |device: &usize| (*device, schedule.devices[*device].in_flight());
    let fixed = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let line = Line {
        before: fixed(rates.host.before),
        behind: fixed(rates.host.behind),
        engines: (0..schedule.devices.len()).map(|device| engine_of(schedule, device)).collect(),
        readers: schedule.readers.max(1),
        encoders: schedule.encoders.max(1),
        budget: schedule.unit_budget(plan),
        groups: groups.iter().map(|group| group.devices.iter().map(depth).collect()).collect(),
    };
    let passes_of = |members: &[usize]| {
        (0..plan.passes.len()).filter(|pass| members.contains(&plan.passes[*pass].member)).collect()
    };
    let passes: Vec<Vec<usize>> = groups.iter().map(|group| passes_of(&group.members)).collect();
    let open = plan.units.iter().filter(|unit| unit.scenes().any(is_open));
    line.play(open.map(|unit| times(plan, unit, line.encoders, &passes, rates)))
}

/// The first worker on the same GPU: passes on one run one after the other.
fn engine_of(schedule: &Schedule, device: usize) -> usize {
    let gpu = schedule.devices[device].gpu();
    schedule.devices[..device].iter().position(|other| gpu.is_some() && other.gpu() == gpu).unwrap_or(device)
}

/// What a unit takes.
#[derive(Clone, Debug, Default)]
struct UnitTimes {
    read: Duration,
    batches: Vec<BatchTimes>,
    average: Duration,
    stitch: Duration,
    encode: Duration,
    /// A scene's rows all go to one encoder.
    encoder: usize,
    /// Bytes that are held until its tiles are cut.
    pixels: u64,
    /// Bytes that are held until it is encoded.
    planes: u64,
}

#[derive(Clone, Debug, Default)]
struct BatchTimes {
    cut: Duration,
    /// By group of devices: its passes, and what a worker does beside.
    groups: Vec<[Duration; 2]>,
}

/// `passes` are those of each group of devices.
fn times(plan: &Plan, unit: &Unit, encoders: usize, passes: &[Vec<usize>], rates: &Rates<'_>) -> UnitTimes {
    let (geometry, scenes, footprint) = (unit.geometry(plan), unit.scenes(), unit.footprint(plan));
    let per_pixel = plan.bands.len() as u64 * plan.scenes[scenes.start].header.dtype.bytes() as u64;
    let of = |rate: f64, amount: u64| Duration::try_from_secs_f64(rate * amount as f64).unwrap_or_default();
    let source = |part: &Part| plan.scenes[part.scene as usize].source(part.window).size.area();
    let decoded: u64 = geometry.parts.iter().map(source).sum();
    let owned: u64 = geometry.tiles.iter().map(|tile| tile.centre.size.area()).sum();
    let written = |scene: &Scene| scene.header.size.area() as f64 / scene.network_size().area().max(1) as f64;
    let batch = |n_tiles: usize| {
        let pixels = geometry.crop.area() * n_tiles as u64;
        let group = |passes: &Vec<usize>| {
            let seconds = passes.iter().map(|pass| (rates.pass)(*pass, pixels)).sum();
            [of(seconds, 1), of(rates.host.infer, pixels)]
        };
        BatchTimes { cut: of(rates.host.tile, pixels * per_pixel), groups: passes.iter().map(group).collect() }
    };
    let encoder = scenes.start % encoders;
    UnitTimes {
        read: of(rates.host.read, decoded * per_pixel),
        batches: geometry.batches().map(|tiles| batch(tiles.len())).collect(),
        average: of(rates.host.average, owned),
        stitch: of(rates.host.stitch, owned),
        // Scenes of a group spread over the encoders.
        encode: of(
            rates.host.encode * written(&plan.scenes[scenes.start]),
            owned / scenes.len().min(encoders).max(1) as u64,
        ),
        encoder,
        pixels: footprint.pixels + footprint.source,
        planes: footprint.planes + footprint.logits,
    }
}

#[derive(Clone, Debug)]
struct Line {
    before: Duration,
    behind: Duration,
    /// By device: the one whose engine it runs on, itself or an earlier one.
    engines: Vec<usize>,
    readers: usize,
    encoders: usize,
    /// Bytes that units may hold.
    budget: u64,
    /// By group: its devices, and how many batches each has at a time.
    groups: Vec<Vec<(usize, usize)>>,
}

/// Someone who does one thing at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Server(Duration);

impl Server {
    /// When something is done that comes at some time and takes some time.
    fn serve(&mut self, comes: Duration, takes: Duration) -> Duration {
        self.0 = self.0.max(comes) + takes;
        self.0
    }
}

/// What lies between two stages: the times at which its last items were taken.
#[derive(Clone, Debug, Default)]
struct Link(VecDeque<Duration>);

impl Link {
    /// From when on there is room for one more item.
    fn room(&self) -> Duration {
        if self.0.len() < LINK_CAPACITY { Duration::ZERO } else { self.0[0] }
    }

    fn taken(&mut self, at: Duration) {
        self.0.push_back(at);
        if self.0.len() > LINK_CAPACITY {
            self.0.pop_front();
        }
    }
}

/// A device with so many batches at a time.
#[derive(Clone, Debug)]
struct Device {
    place: usize,
    depth: usize,
    /// When it will have done what it has.
    free: Server,
    done: VecDeque<Duration>,
}

impl Device {
    /// From when on it takes one more batch.
    fn takes(&self) -> Duration {
        if self.done.len() < self.depth { Duration::ZERO } else { self.done[0] }
    }

    fn run(&mut self, engine: &mut Server, comes: Duration, [passes, beside]: [Duration; 2]) -> Duration {
        let done = self.free.serve(engine.serve(comes.max(self.free.0), passes), beside);
        self.done.push_back(done);
        if self.done.len() > self.depth {
            self.done.pop_front();
        }
        done
    }
}

/// Devices that share a link.
struct Group {
    link: Link,
    devices: Vec<Device>,
}

/// Bytes that units hold, and when they are given back.
struct Credit {
    free: u64,
    back: BinaryHeap<Reverse<(Duration, u64)>>,
}

impl Credit {
    /// When so many are free, at the earliest at this time.
    fn take(&mut self, bytes: u64, mut at: Duration) -> Duration {
        while self.free < bytes {
            let Some(Reverse((time, back))) = self.back.pop() else { break };
            (self.free, at) = (self.free + back, at.max(time));
        }
        self.free = self.free.saturating_sub(bytes);
        at
    }
}

impl Line {
    fn play(&self, units: impl Iterator<Item = UnitTimes>) -> Forecast {
        let mut forecast = Forecast { makespan: Duration::ZERO, busy: vec![Duration::ZERO; self.engines.len()] };
        let mut engines = vec![Server::default(); self.engines.len()];
        let device = |(place, depth): &(usize, usize)| Device {
            place: *place,
            depth: *depth,
            free: Server::default(),
            done: VecDeque::new(),
        };
        let group = |devices: &Vec<_>| Group { link: Link::default(), devices: devices.iter().map(device).collect() };
        let mut groups: Vec<Group> = self.groups.iter().map(group).collect();
        let (mut readers, mut encoders) = (vec![Duration::ZERO; self.readers], vec![Server::default(); self.encoders]);
        let (mut to_tile, mut tiler) = (Link::default(), Server(self.before));
        let (mut average, mut stitch) = (Server::default(), Server::default());
        let (mut credit, mut admitted) = (Credit { free: self.budget, back: BinaryHeap::new() }, Duration::ZERO);
        for unit in units {
            readers.sort_unstable();
            admitted = credit.take((unit.pixels + unit.planes).min(self.budget), readers[0].max(admitted));
            // A reader holds what it has read until there is room for it.
            readers[0] = (admitted + unit.read).max(to_tile.room());
            let taken = tiler.serve(readers[0], Duration::ZERO);
            to_tile.taken(taken);
            let mut classified = taken;
            for batch in &unit.batches {
                tiler.serve(taken, batch.cut);
                for (group, takes) in groups.iter_mut().zip(&batch.groups) {
                    tiler.0 = tiler.0.max(group.link.room());
                    let Some(device) = group.devices.iter_mut().min_by_key(|d| (d.takes().max(tiler.0), d.free.0))
                    else {
                        continue;
                    };
                    let comes = device.takes().max(tiler.0);
                    group.link.taken(comes);
                    classified = classified.max(device.run(&mut engines[self.engines[device.place]], comes, *takes));
                    forecast.busy[device.place] += takes[0];
                }
            }
            credit.back.push(Reverse((tiler.0, unit.pixels)));
            let stitched = stitch.serve(average.serve(classified, unit.average), unit.stitch);
            let encoded = encoders[unit.encoder].serve(stitched, unit.encode);
            credit.back.push(Reverse((encoded, unit.planes)));
            forecast.makespan = forecast.makespan.max(encoded).max(classified + self.behind);
        }
        forecast
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Assignment, Decode, DeviceId};

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn line(n_devices: usize, depth: usize) -> Line {
        let group = (0..n_devices).map(|device| (device, depth)).collect();
        let (before, behind) = (Duration::ZERO, Duration::ZERO);
        Line {
            before,
            behind,
            engines: (0..n_devices).collect(),
            readers: 1,
            encoders: 1,
            budget: u64::MAX >> 1,
            groups: vec![group],
        }
    }

    /// A unit of batches that take so long on a device.
    fn unit(batches: &[u64]) -> UnitTimes {
        let batch = |takes: &u64| BatchTimes { cut: Duration::ZERO, groups: vec![[ms(*takes), Duration::ZERO]] };
        UnitTimes { batches: batches.iter().map(batch).collect(), pixels: 6, planes: 2, ..UnitTimes::default() }
    }

    fn makespan(line: &Line, units: &[UnitTimes]) -> Duration {
        line.play(units.iter().cloned()).makespan
    }

    #[test]
    fn the_first_free_device_takes_the_next_batch() {
        let units = [unit(&[5, 3, 4]), unit(&[2])];
        assert_eq!(makespan(&line(1, 1), &units), ms(14));
        // 5 | 3 4, and the last one goes behind the 5.
        let two = line(2, 1).play(units.iter().cloned());
        assert_eq!((two.makespan, two.busy.as_slice()), (ms(7), &[ms(7), ms(7)][..]));
        assert_eq!(two.idle(), [0.0, 0.0]);
        // One after the other: reading, one batch, encoding; reading goes on meanwhile.
        let slow = UnitTimes { read: ms(10), encode: ms(1), ..unit(&[4]) };
        let units = [slow.clone(), slow.clone(), slow];
        assert_eq!(makespan(&line(4, 1), &units), ms(35));
        // What begins and ends a run is there in any case, and hides what it is longer than.
        let fixed = |before, behind| Line { before: ms(before), behind: ms(behind), ..line(4, 1) };
        assert_eq!([(8, 1), (8, 4), (32, 0)].map(|(a, b)| makespan(&fixed(a, b), &units)), [ms(35), ms(38), ms(39)]);
    }

    #[test]
    fn a_unit_enters_when_there_is_credit_for_it_and_two_groups_go_at_the_pace_of_the_slower() {
        let units = vec![UnitTimes { read: ms(3), ..unit(&[10]) }; 3];
        assert_eq!(makespan(&line(1, 1), &units), ms(33));
        // The planes of the first keep the second from being read.
        let tight = Line { budget: 9, ..line(1, 1) };
        assert_eq!(makespan(&tight, &units), ms(39));
        let spread = Line { groups: vec![vec![(0, 1)], vec![(1, 1)]], ..line(2, 1) };
        let both = BatchTimes { cut: ms(0), groups: vec![[ms(2), ms(0)], [ms(6), ms(1)]] };
        let units = vec![UnitTimes { batches: vec![both; 4], ..unit(&[]) }];
        let played = spread.play(units.into_iter());
        assert_eq!((played.makespan, played.busy), (ms(28), vec![ms(8), ms(24)]));
    }

    #[test]
    fn workers_on_one_gpu_hide_only_what_goes_by_beside_the_passes() {
        let batch = BatchTimes { cut: ms(0), groups: vec![[ms(5), ms(2)]] };
        let units = [UnitTimes { batches: vec![batch; 6], ..unit(&[]) }];
        assert_eq!(makespan(&line(1, 1), &units), ms(42));
        assert_eq!(makespan(&Line { engines: vec![0, 0], ..line(2, 1) }, &units), ms(32));
        let devices = [DeviceId::Cuda(1), DeviceId::Cuda(0), DeviceId::Cuda(1), DeviceId::Cuda(0)];
        let schedule = |devices: &[DeviceId]| Schedule {
            devices: devices.to_vec(),
            assignment: Assignment::replicate(devices.len(), 1),
            readers: 1,
            encoders: 1,
            memory: 1,
            decode: Decode::InProcess,
        };
        assert_eq!([0, 1, 2, 3].map(|device| engine_of(&schedule(&devices), device)), [0, 1, 0, 1]);
        assert_eq!([0, 1].map(|device| engine_of(&schedule(&[DeviceId::Cpu; 2]), device)), [0, 1]);
    }

    fn units() -> impl Strategy<Value = Vec<UnitTimes>> {
        let unit = (prop::collection::vec(1u64..50, 1..9), 0u64..40, 0u64..10, 0u64..10, 1u64..9).prop_map(
            |(batches, read, cut, encode, pixels)| {
                let mut unit = UnitTimes { read: ms(read), encode: ms(encode), pixels, ..unit(&batches) };
                unit.batches.iter_mut().for_each(|batch| batch.cut = ms(cut));
                unit
            },
        );
        prop::collection::vec(unit, 1..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_forecast_lies_between_what_must_be_and_one_after_the_other(
            units in units(), n_devices in 1usize..6, depth in 1usize..3, readers in 1usize..4, budget in 10u64..40,
        ) {
            let line = Line { readers, budget, ..line(n_devices, depth) };
            let played = line.play(units.iter().cloned());
            let passes = |unit: &UnitTimes| unit.batches.iter().map(|batch| batch.groups[0][0]).sum::<Duration>();
            let cuts = |unit: &UnitTimes| unit.batches.iter().map(|batch| batch.cut).sum::<Duration>();
            let sum = |of: &dyn Fn(&UnitTimes) -> Duration| units.iter().map(of).sum::<Duration>();
            let all = sum(&passes);
            prop_assert_eq!(played.busy.iter().sum::<Duration>(), all);
            let through = units.iter().map(|unit| {
                unit.read + unit.batches.iter().map(|b| b.cut + b.groups[0][0]).max().unwrap_or_default() + unit.encode
            });
            let must = [
                all / u32::try_from(n_devices).unwrap(),
                sum(&|unit| unit.read) / u32::try_from(readers).unwrap(),
                sum(&cuts),
                sum(&|unit| unit.encode),
                through.max().unwrap_or_default(),
            ];
            prop_assert!(must.iter().all(|least| played.makespan >= *least), "{:?} {:?}", played, must);
            prop_assert!(played.makespan <= all + sum(&|unit| unit.read) + sum(&cuts) + sum(&|unit| unit.encode));
            prop_assert!(played.idle().iter().all(|idle| (0.0..=1.0).contains(idle)));
        }

        #[test]
        fn where_the_host_takes_no_time_only_batches_that_do_not_come_out_even_are_lost(
            units in units(), n_devices in 1usize..6,
        ) {
            let batches = units.iter().flat_map(|unit| &unit.batches);
            let bare: Vec<BatchTimes> = batches.map(|b| BatchTimes { cut: ms(0), ..b.clone() }).collect();
            let takes = |batch: &BatchTimes| batch.groups[0][0];
            let (all, n) = (bare.iter().map(takes).sum::<Duration>(), u32::try_from(n_devices).unwrap());
            let largest = bare.iter().map(takes).max().unwrap();
            let played = line(n_devices, 1).play([UnitTimes { batches: bare, ..unit(&[]) }].into_iter());
            // Graham's bound for work that goes to whoever is free.
            prop_assert!(played.makespan <= all / n + largest * (n - 1) / n + ms(1));
        }
    }
}
