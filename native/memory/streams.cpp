#include "memory/streams.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace ehrjepa::memory {

Mark::Mark(const c10::Stream& stream) : event_(std::make_shared<c10::Event>(stream.device_type())) {
  event_->record(stream);
}

void Mark::wait() const {
  if (event_) event_->block(c10::impl::VirtualGuardImpl(event_->device_type()).getStream(event_->device()));
}

void Mark::wait_on_host() const {
  if (event_) event_->synchronize();
}

SideStream::SideStream(at::Device device) {
  if (!device.is_cpu()) stream_ = c10::impl::VirtualGuardImpl(device.type()).getNewStream(device);
}

c10::Stream SideStream::current() const {
  return c10::impl::VirtualGuardImpl(stream_->device_type()).getStream(stream_->device());
}

void SideStream::follow() {
  if (!stream_) return;
  const Mark mark(current());
  run([&] { mark.wait(); });
}

Mark SideStream::mark() const { return stream_ ? Mark(*stream_) : Mark(); }

void SideStream::lend(const at::Tensor& tensor) const {
  if (!stream_ || !tensor.defined() || tensor.numel() == 0) return;
  c10::impl::VirtualGuardImpl(stream_->device_type()).recordDataPtrOnStream(tensor.storage().data_ptr(), current());
}

Beside::Beside(SideStream& stream) : stream_(stream) { stream_.follow(); }

Beside::~Beside() {
  try {
    end();
  } catch (...) {
    // The device is of no more use, as the next call will say.
  }
}

void Beside::end() {
  if (ended_) return;
  ended_ = true;
  stream_.mark().wait();
}

}  // namespace ehrjepa::memory
