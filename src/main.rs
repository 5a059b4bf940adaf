fn main() {
    #[cfg(feature = "torch")]
    println!("{:?} {}", tch::Tensor::from_slice(&[1f32, 2.]).sum(tch::Kind::Float), tch::utils::has_cuda());
}
