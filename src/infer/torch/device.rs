//! A device on which everything from raw pixels to planes happens: a GPU, or a CPU that goes a GPU's way.
//!
//! Pixels go up in their own type. They are normalised, padded, run, summed and made planes of without the host looking at anything on
//! the way, so that a second batch is asked for while the first one is under way; then the planes come back, and for each pass and tile
//! whether its logits were finite. Where some were not, those tiles run again, each alone, in f32. Logits leave the device only where
//! they are asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tch::{Device as TchDevice, Kind, TchError, Tensor};

use super::engine::Members;
use super::loading::Loading;
use super::member::host_logits;
use super::sum::{DeviceLogits, Sum};
use super::{precision_of, target};
use crate::config::Precision;
use crate::geom::Size;
use crate::infer::batch::{RawBatch, TileFault, TileResult};
use crate::infer::failure::failure;
use crate::infer::faulty::{Strike, Strikes};
use crate::infer::input::InputPlan;
use crate::infer::{Device, DeviceError, Done, Known, PassRan, PassWork, Wanted, Work};
use crate::plan::{DeviceId, MemberPlan, Pass, Plan, TilePlanes};
use crate::tensor::{Mark, Normaliser, Raw, Staging, Timeline, turn};
use crate::zoo::spec::NetworkSpec;

struct TensorDevice {
    id: DeviceId,
    target: TchDevice,
    networks: Members,
    members: Vec<Member>,
    passes: Vec<Pass>,
    normaliser: Normaliser,
    staging: Staging,
    timeline: Timeline,
    sum: Sum,
    strikes: Option<Strikes>,
    /// Oldest first. What could not be begun is told when its turn comes, after what was begun before it.
    flying: VecDeque<Result<Flying, DeviceError>>,
}

struct Member {
    name: String,
    spec: NetworkSpec,
    input: InputPlan,
    /// Which of the normaliser's rules is this member's.
    rule: usize,
    precision: Precision,
}

/// A batch under way.
struct Flying {
    batch: Arc<RawBatch>,
    wanted: Wanted,
    faults: Vec<Option<TileFault>>,
    /// The pixels, where a pass runs.
    raw: Option<Raw>,
    forwards: Vec<(usize, DeviceLogits)>,
    ran: Vec<Option<Ran>>,
    /// Planes of all tiles that have some, one after the other, u8, on their way to the host.
    planes: Option<Tensor>,
    /// One byte for each tile of each pass that ran, likewise.
    finite: Option<Tensor>,
    /// Each pass's logits, likewise, where they are asked for.
    logits: Vec<Tensor>,
    /// Behind all of it.
    end: Mark,
}

/// A pass that ran.
struct Ran {
    from: Mark,
    to: Mark,
    /// The tiles for whose sake it did.
    tiles: Vec<usize>,
    finite: Tensor,
    /// Its logits were made no numbers on purpose.
    spoilt: bool,
}

/// Opens a device with these members.
pub(in crate::infer) fn open(
    plan: &Plan,
    id: DeviceId,
    held: &[usize],
    strikes: Option<Strikes>,
    loading: &Arc<Loading>,
) -> Result<Box<dyn Device>, DeviceError> {
    let (networks, target) = (Members::open(plan, id, held, loading)?, target(id));
    let mut rules = Vec::new();
    let member = |m: &MemberPlan| {
        let spec = m.member.spec.clone();
        let input = InputPlan::new(&m.member.input, &plan.bands, spec.size_rule(), plan.pipeline.tiling.border);
        let rule = rules.iter().position(|rule| rule == input.rule()).unwrap_or_else(|| {
            rules.push(input.rule().clone());
            rules.len() - 1
        });
        Member { name: m.member.name.clone(), spec, input, rule, precision: m.resolved_precision }
    };
    let members = plan.members.iter().map(member).collect();
    Ok(Box::new(TensorDevice {
        id,
        target,
        networks,
        members,
        passes: plan.passes.clone(),
        normaliser: Normaliser::new(rules, target),
        staging: Staging::new(target),
        timeline: Timeline::of(target).map_err(|detail| DeviceError::Missing { device: id, detail })?,
        sum: Sum::of(plan),
        strikes,
        flying: VecDeque::new(),
    }))
}

impl TensorDevice {
    fn failed(&self, error: &TchError) -> DeviceError {
        failure(self.id, &error.to_string())
    }

    /// Asks for all that a batch needs.
    fn begin(&mut self, work: Work) -> Result<Flying, DeviceError> {
        let Work { batch, passes, faults, wanted, may_begin } = work;
        let open: Vec<usize> = (0..batch.len()).filter(|tile| !batch.blank[*tile] && faults[*tile].is_none()).collect();
        let end = self.mark()?;
        let (raw, planes, finite) = (None, None, None);
        let (forwards, ran, logits) = (Vec::new(), Vec::new(), Vec::new());
        let mut flying = Flying { batch, wanted, faults, raw, forwards, ran, planes, finite, logits, end };
        let mut inputs = Inputs::default();
        for PassWork { pass, known } in passes {
            let tiles: Vec<usize> = open.iter().copied().filter(|tile| !known.has(*tile)).collect();
            if !tiles.is_empty() && !may_begin() {
                return Err(DeviceError::Halted);
            }
            match self.pass(pass, &known, tiles, &mut flying, &mut inputs) {
                Ok(logits) => flying.forwards.push((pass, logits)),
                // The pass alone has failed.
                Err(DeviceError::Forward { detail }) => {
                    let member = self.members[self.passes[pass].member].name.clone();
                    flying.faults.fill(Some(TileFault::Forward { member, detail }));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.bring_back(&mut flying)?;
        Ok(flying)
    }

    /// The logits of one pass: known, run, or for some tiles the one and for others the other.
    fn pass(
        &mut self,
        pass: usize,
        known: &Known,
        tiles: Vec<usize>,
        flying: &mut Flying,
        inputs: &mut Inputs,
    ) -> Result<DeviceLogits, DeviceError> {
        let n_tiles = flying.batch.len();
        let (mut logits, ran) = match known {
            Known::All(logits) => (DeviceLogits::upload(logits, self.target).map_err(|e| self.failed(&e))?, None),
            Known::Nothing | Known::Tiles(_) if tiles.is_empty() => {
                let spec = &self.members[self.passes[pass].member].spec;
                let zeros = DeviceLogits::zeros(spec, flying.batch.crop, n_tiles, self.target);
                (zeros.map_err(|e| self.failed(&e))?, None)
            }
            Known::Nothing | Known::Tiles(_) => {
                let (logits, ran) = self.run(pass, tiles, flying, inputs)?;
                (logits, Some(ran))
            }
        };
        flying.ran.push(ran);
        if let Known::Tiles(known) = known {
            for (tile, known) in known.iter().enumerate() {
                let Some(known) = known else { continue };
                let known =
                    DeviceLogits::upload(known, self.target).and_then(|known| logits.copy_tile(tile, &known, 0));
                known.map_err(|e| self.failed(&e))?;
            }
        }
        Ok(logits)
    }

    /// Runs a pass over the whole batch.
    fn run(
        &mut self,
        pass: usize,
        tiles: Vec<usize>,
        flying: &mut Flying,
        inputs: &mut Inputs,
    ) -> Result<(DeviceLogits, Ran), DeviceError> {
        // A member that is still on its way: to wait for it is none of the pass's time.
        self.networks.get(self.passes[pass].member)?;
        let from = self.mark()?;
        if flying.raw.is_none() {
            let raw =
                Raw::upload(flying.batch.crops(), &mut self.staging).map_err(|e| failure(self.id, &e.to_string()))?;
            flying.raw = Some(raw);
        }
        let input = self.input(pass, flying, (0, flying.batch.len()), inputs)?;
        let precision = self.members[self.passes[pass].member].precision;
        let (logits, spoilt) = self.forward(pass, &flying.batch, &input, precision)?;
        let finite = logits.finite().map_err(|e| self.failed(&e))?;
        Ok((logits, Ran { from, to: self.mark()?, tiles, finite, spoilt }))
    }

    /// What a pass sees of some tiles. Members that see the same share it.
    fn input(
        &mut self,
        pass: usize,
        flying: &Flying,
        tiles: (usize, usize),
        inputs: &mut Inputs,
    ) -> Result<Tensor, DeviceError> {
        let member = &self.members[self.passes[pass].member];
        let (rule, padded) = (member.rule, member.input.padded(flying.batch.crop));
        if let Some((.., input)) = inputs.0.iter().find(|(r, p, _)| (*r, *p) == (rule, padded)) {
            return Ok(input.shallow_clone());
        }
        let Some(raw) = &flying.raw else {
            return Err(DeviceError::Forward { detail: "its pixels are not there; this is a bug in swath".into() });
        };
        let input = self.normaliser.input(rule, raw, tiles, padded).map_err(|e| failure(self.id, &e.to_string()))?;
        inputs.0.push((rule, padded, input.shallow_clone()));
        Ok(input)
    }

    /// One forward pass, and whether it was spoilt on purpose.
    fn forward(
        &mut self,
        pass: usize,
        batch: &RawBatch,
        input: &Tensor,
        precision: Precision,
    ) -> Result<(DeviceLogits, bool), DeviceError> {
        let pass = self.passes[pass];
        let spoilt = match self.strikes.as_mut().and_then(|strikes| strikes.strike(batch, pass)) {
            None => false,
            Some(Strike::NonFinite) => true,
            Some(Strike::Error(error)) => return Err(error),
        };
        let input = turn(pass.view, input).map_err(|e| self.failed(&e))?;
        let out = self.networks.get(pass.member)?.in_precision(precision)?.run(&input)?;
        let n_tiles = out.values.size().first().map_or(0, |n| usize::try_from(*n).unwrap_or_default());
        let given = precision_of(out.values.kind());
        let values = out.values.f_to_kind(Kind::Float).and_then(|values| turn(pass.view.inverse(), &values));
        let values = values.map_err(|e| self.failed(&e))?;
        let full = self.members[pass.member].input.padded(batch.crop);
        let logits = DeviceLogits { values, precision: vec![given; n_tiles], full, upsample: out.upsample };
        if spoilt {
            // Of the first tile that counts; where one runs again it is alone.
            let tile =
                if n_tiles == batch.len() { batch.blank.iter().position(|blank| !blank).unwrap_or(0) } else { 0 };
            let spoil = |values: &Tensor| values.f_get(tile as i64)?.f_fill_(f64::NAN).map(drop);
            spoil(&logits.values).map_err(|e| self.failed(&e))?;
        }
        Ok((logits, spoilt))
    }

    /// Starts the way back of all that is asked for.
    fn bring_back(&mut self, flying: &mut Flying) -> Result<(), DeviceError> {
        let mut planes = Vec::new();
        for tile in flying.with_planes() {
            let tile = self.sum.planes(&flying.forwards, tile, flying.batch.kept[tile]);
            planes.extend(tile.map_err(|e| self.failed(&e))?);
        }
        let joined = |parts: Vec<Tensor>| match parts.is_empty() {
            true => Ok(None),
            false => Tensor::f_cat(&parts, 0).and_then(|bytes| fetch(&bytes)).map(Some),
        };
        let finite = flying.ran.iter().flatten().map(|ran| ran.finite.shallow_clone()).collect();
        flying.planes = joined(planes).map_err(|e| self.failed(&e))?;
        flying.finite = joined(finite).map_err(|e| self.failed(&e))?;
        if flying.wanted.logits() {
            let logits = flying.forwards.iter().map(|(_, logits)| fetch(&logits.values)).collect::<Result<_, _>>();
            flying.logits = logits.map_err(|e| self.failed(&e))?;
        }
        flying.end = self.mark()?;
        Ok(())
    }

    fn mark(&self) -> Result<Mark, DeviceError> {
        self.timeline.mark().map_err(|detail| failure(self.id, &detail))
    }

    /// Waits for a batch and makes a result of it.
    fn land(&mut self, mut flying: Flying) -> Result<Done, DeviceError> {
        self.timeline.wait(&flying.end).map_err(|detail| failure(self.id, &detail))?;
        let mut tiles = self.tiles(&flying).map_err(|e| self.failed(&e))?;
        let mut ran: Vec<PassRan> = flying.ran.iter().map(|ran| self.ran(ran.as_ref())).collect();
        for (pass, broken) in self.broken(&flying).map_err(|e| self.failed(&e))? {
            let began = Instant::now();
            match self.run_again(pass, &broken, &mut flying) {
                Ok(reruns) => ran[pass].reruns = reruns,
                Err(DeviceError::Forward { detail }) => {
                    let member = self.members[self.passes[flying.forwards[pass].0].member].name.clone();
                    flying.faults.fill(Some(TileFault::Forward { member, detail }));
                }
                Err(error) => return Err(error),
            }
            ran[pass].time += began.elapsed();
            // What was made of no number is made anew, where there is something now.
            for tile in broken.into_iter().filter(|_| flying.wanted.planes()) {
                tiles[tile] = self.tile(&flying, tile).map_err(|e| self.failed(&e))?;
            }
        }
        for (tile, fault) in tiles.iter_mut().zip(&flying.faults) {
            if let Some(fault) = fault {
                *tile = Err(fault.clone());
            }
        }
        let Flying { raw, forwards, faults, logits, .. } = flying;
        if let Some(raw) = raw {
            raw.give_back(&mut self.staging);
        }
        let forwards = forwards.into_iter().zip(logits).map(|((pass, forward), values)| {
            Ok((pass, host_logits(&values, forward.precision, forward.full, forward.upsample)?))
        });
        let logits = forwards.collect::<Result<_, TchError>>().map_err(|e| self.failed(&e))?;
        Ok(Done { tiles, logits, faults, ran })
    }

    fn ran(&self, ran: Option<&Ran>) -> PassRan {
        let time = ran.map(|ran| self.timeline.between(&ran.from, &ran.to)).unwrap_or_default();
        PassRan { time, reruns: 0 }
    }

    /// The planes that have come back.
    fn tiles(&self, flying: &Flying) -> Result<Vec<TileResult>, TchError> {
        if !flying.wanted.planes() {
            return Ok(Vec::new());
        }
        let bytes = flying.planes.as_ref().map(host_bytes).transpose()?.unwrap_or_default();
        let mut rest = &bytes[..];
        let mut has_planes = vec![false; flying.batch.len()];
        flying.with_planes().into_iter().for_each(|tile| has_planes[tile] = true);
        let tile = |tile: usize| {
            let area = flying.batch.kept[tile].size.len();
            if let Some(fault) = &flying.faults[tile] {
                return Err(fault.clone());
            }
            if !has_planes[tile] {
                return Ok(self.sum.void(area));
            }
            let plane = |_| rest.split_off(..area).unwrap_or_default().to_vec();
            Ok(TilePlanes((0..self.sum.n_planes()).map(plane).collect()))
        };
        Ok((0..flying.batch.len()).map(tile).collect())
    }

    /// For each pass some of whose logits are not finite: its place among the batch's, and the tiles.
    fn broken(&self, flying: &Flying) -> Result<Vec<(usize, Vec<usize>)>, TchError> {
        let flags = flying.finite.as_ref().map(host_bytes).transpose()?.unwrap_or_default();
        let mut flags = flags.chunks_exact(flying.batch.len().max(1));
        let mut all = Vec::new();
        for (idx, ran) in flying.ran.iter().enumerate() {
            let Some(ran) = ran else { continue };
            let finite = flags.next().unwrap_or_default();
            let broken: Vec<usize> = ran.tiles.iter().copied().filter(|tile| finite[*tile] == 0).collect();
            if !broken.is_empty() {
                all.push((idx, broken));
            }
        }
        Ok(all)
    }

    /// Runs tiles again whose logits were no numbers, each alone and in f32: a number of tiles that depended on what else failed would
    /// change the bytes. Returns how many did; those that are no numbers still have a fault.
    fn run_again(&mut self, idx: usize, broken: &[usize], flying: &mut Flying) -> Result<u64, DeviceError> {
        let pass = flying.forwards[idx].0;
        let (member, precision) = {
            let member = self.passes[pass].member;
            (member, self.members[member].precision)
        };
        let spoilt = flying.ran[idx].as_ref().is_some_and(|ran| ran.spoilt);
        let again = spoilt || self.networks.can_widen(member, precision);
        for tile in broken {
            if again {
                let input = self.input(pass, flying, (*tile, 1), &mut Inputs::default())?;
                let (logits, _) = self.forward(pass, &flying.batch, &input, Precision::F32)?;
                let all = &mut flying.forwards[idx].1;
                all.copy_tile(*tile, &logits, 0).map_err(|e| failure(self.id, &e.to_string()))?;
                if let Some(values) = flying.logits.get_mut(idx) {
                    *values = fetch(&all.values).map_err(|e| failure(self.id, &e.to_string()))?;
                }
            }
            let finite = flying.forwards[idx].1.finite().and_then(|flags| host_bytes(&flags));
            if finite.map_err(|e| self.failed(&e))?[*tile] == 0 {
                let member = self.members[member].name.clone();
                flying.faults[*tile].get_or_insert(TileFault::NonFinite { member });
            }
        }
        // The second copy of its weights, where there is one, goes.
        self.networks.get(member)?.in_precision(precision)?;
        Ok(if again { broken.len() as u64 } else { 0 })
    }

    /// The planes of one tile, at once.
    fn tile(&self, flying: &Flying, tile: usize) -> Result<TileResult, TchError> {
        if let Some(fault) = &flying.faults[tile] {
            return Ok(Err(fault.clone()));
        }
        let planes = self.sum.planes(&flying.forwards, tile, flying.batch.kept[tile])?;
        let planes: Result<Vec<Vec<u8>>, TchError> = planes.iter().map(host_bytes).collect();
        Ok(Ok(TilePlanes(planes?)))
    }
}

/// What networks see of a batch, by rule and padded size.
#[derive(Default)]
struct Inputs(Vec<(usize, Size, Tensor)>);

impl Flying {
    /// The tiles that planes are made of.
    fn with_planes(&self) -> Vec<usize> {
        let wanted = |tile: &usize| self.wanted.planes() && !self.batch.blank[*tile] && self.faults[*tile].is_none();
        (0..self.batch.len()).filter(wanted).collect()
    }
}

/// Starts the way of values to the host: from a GPU into page-locked memory of libtorch's own, without waiting.
fn fetch(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_to_device_(TchDevice::Cpu, values.kind(), true, false)
}

/// Bytes of a u8 tensor.
fn host_bytes(tensor: &Tensor) -> Result<Vec<u8>, TchError> {
    let mut bytes = vec![0; tensor.numel()];
    tensor.f_copy_data(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

impl Device for TensorDevice {
    fn depth(&self) -> usize {
        self.id.in_flight()
    }

    fn submit(&mut self, work: Work) -> Result<(), DeviceError> {
        let flying = self.begin(work);
        self.flying.push_back(flying);
        Ok(())
    }

    fn is_ready(&self) -> bool {
        match self.flying.front() {
            None => false,
            Some(Err(_)) => true,
            Some(Ok(flying)) => self.timeline.is_past(&flying.end),
        }
    }

    fn collect(&mut self) -> Result<Option<Done>, DeviceError> {
        let Some(flying) = self.flying.pop_front() else { return Ok(None) };
        let done = flying.and_then(|flying| self.land(flying)).map(Some);
        if done.is_err() {
            self.abandon();
        }
        done
    }

    fn abandon(&mut self) {
        for flying in std::mem::take(&mut self.flying).into_iter().flatten() {
            // Its buffers may be reused only when the device has read them.
            if let (Ok(()), Some(raw)) = (self.timeline.wait(&flying.end), flying.raw) {
                raw.give_back(&mut self.staging);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Band, InputSpec};
    use crate::geom::PixelRect;
    use crate::raster::{PixelBuf, PixelType};
    use crate::tiler::Border;
    use crate::zoo::spec::SizeRule;

    fn raw(pixels: PixelBuf, crop: Size, n_bands: usize, valid: Option<Vec<u8>>, blank: Vec<bool>) -> RawBatch {
        let kept = vec![PixelRect::whole(crop); blank.len()];
        RawBatch { name: String::new(), crop, n_bands, pixels, valid, kept, blank }
    }

    #[test]
    fn inputs_are_those_of_the_host_to_the_last_bit() {
        let crop = Size::new(7, 3);
        let n = 3 * 2 * crop.len();
        let hash = |i: usize| u32::try_from(i).unwrap().wrapping_mul(2_654_435_761);
        let bytes = |i: usize| hash(i).to_le_bytes();
        let words: Vec<u16> =
            (0..n).map(|i| [0, 32_767, 32_768, 65_535][(hash(i) >> 30) as usize] ^ (hash(i) >> 28) as u16).collect();
        let reals = |i: usize| if hash(i).is_multiple_of(11) { f32::NAN } else { hash(i) as f32 / 1e7 - 99.0 };
        let pixels = [
            PixelBuf::from_slice(PixelType::U8, &(0..n).map(|i| bytes(i)[3]).collect::<Vec<u8>>()),
            PixelBuf::from_slice(PixelType::U16, &words),
            PixelBuf::from_slice(PixelType::I16, &words),
            PixelBuf::from_slice(PixelType::F32, &(0..n).map(reals).collect::<Vec<f32>>()),
        ];
        let divide = [PixelType::U8, PixelType::U16, PixelType::I16, PixelType::F32];
        let divide = divide.into_iter().zip([255.0, 10_000.0, 3.0, 7.0]).collect();
        let (bands, mean, std) = ([4, 2, 4].map(Band::Number).to_vec(), vec![0.485, 0.1, 0.3], vec![0.229, 3.0, 0.7]);
        let spec = InputSpec { bands, divide, mean, std };
        for pixels in pixels {
            let is_finite: Vec<u8> = (0..3 * crop.len()).map(|i| u8::from(!hash(i).is_multiple_of(3))).collect();
            for valid in [None, Some(is_finite)] {
                for (border, multiple) in [(Border::Reflect, 1), (Border::Reflect, 16), (Border::Zero, 8)] {
                    let input =
                        InputPlan::new(&spec, &[2, 4].map(Band::Number), SizeRule { multiple, min_size: 1 }, border);
                    let batch = raw(pixels.clone(), crop, 2, valid.clone(), vec![false, true, false]);
                    let mut expected = Vec::new();
                    input.fill(&batch, &mut expected);
                    let raw = Raw::upload(batch.crops(), &mut Staging::new(TchDevice::Cpu)).unwrap();
                    let mut normaliser = Normaliser::new(vec![input.rule().clone()], TchDevice::Cpu);
                    let tile = expected.len() / 3;
                    // The second tile is blank: nobody looks at what is made of it.
                    for at in [0, 2] {
                        let values = normaliser.input(0, &raw, (at, 1), input.padded(crop)).unwrap();
                        let values = Vec::<f32>::try_from(values.flatten(0, -1)).unwrap();
                        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        let expected = &expected[at * tile..(at + 1) * tile];
                        let is_nan = |v: &f32| v.is_nan();
                        if valid.is_none() && pixels.dtype() == PixelType::F32 {
                            assert_eq!(
                                values.iter().filter(|v| is_nan(v)).count(),
                                expected.iter().filter(|v| is_nan(v)).count()
                            );
                        } else {
                            assert_eq!(bits(&values), bits(expected), "{:?}, {border:?}, {multiple}", pixels.dtype());
                        }
                    }
                }
            }
        }
    }
}
