#include "objective/collapse/monitors.h"
#include "objective/latent.h"

namespace ehrjepa::objective {

at::Tensor batch_mean_loss(const LatentReading& reading) {
  const at::Tensor& target_MD = reading.loss_target_MD;
  const at::Tensor mean_MD = target_MD.mean(0, true).expand_as(target_MD);
  return latent_loss(mean_MD, target_MD, reading.loss, reading.beta);
}

at::Tensor copy_context_loss(const LatentReading& reading) {
  return latent_loss(reading.context_state_MD, reading.loss_target_MD, reading.loss, reading.beta);
}

}  // namespace ehrjepa::objective
