#include "memory/device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/utils/device_lazy_init.h>
#include <torch/library.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "native/pretend/counts.h"
#include "native/pretend/memory.h"
#include "native/pretend/run.h"
#include "native/pretend/streams.h"

// Two pretend devices, which are libtorch's PrivateUse1 and, to the engine, `cuda:0` and `cuda:1`.
namespace pretend {
namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  DeviceType type() const override { return DeviceType::PrivateUse1; }
  Device exchangeDevice(Device device) const override {
    const Device before = getDevice();
    set_current_device(device.index());
    return before;
  }
  Device getDevice() const override { return {DeviceType::PrivateUse1, current_device()}; }
  void setDevice(Device device) const override { set_current_device(device.index()); }
  void uncheckedSetDevice(Device device) const noexcept override { set_current_device(device.index()); }
  c10::Stream getStream(Device device) const override { return current_stream(index_of(device)); }
  c10::Stream getDefaultStream(Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, {DeviceType::PrivateUse1, index_of(device)});
  }
  c10::Stream getNewStream(Device device, int) const override { return new_stream(index_of(device)); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return exchange_stream(stream); }
  DeviceIndex deviceCount() const noexcept override { return device_count; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream& stream) const override {
    count_wait("a stream");
    host_waits_for(stream);
  }
  void synchronizeDevice(DeviceIndex device) const override {
    count_wait("a device");
    host_waits_for_device(device);
  }
  void synchronizeEvent(void* event) const override {
    count_wait("an event");
    host_waits_for(event);
  }
  void record(void** event, const c10::Stream& stream, DeviceIndex, c10::EventFlag) const override {
    *event = pretend::record(*event, stream);
  }
  void destroyEvent(void* event, DeviceIndex) const noexcept override { destroy_event(event); }
  void block(void* event, const c10::Stream& stream) const override { wait_for(event, stream); }
  bool queryEvent(void*) const override { return true; }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    lend(data.get(), stream);
  }

 private:
  static DeviceIndex index_of(Device device) { return device.has_index() ? device.index() : current_device(); }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator(); }
  DeviceIndex deviceCount() const override { return device_count; }
  DeviceIndex getCurrentDevice() const override { return current_device(); }
  void setCurrentDevice(DeviceIndex index) const override { set_current_device(index); }
  /// Nobody draws on the device, but `at::manual_seed` seeds every generator that there is.
  const at::Generator& getDefaultGenerator(DeviceIndex) const override {
    static const at::Generator generator = at::detail::createCPUGenerator();
    return generator;
  }
};

/// The device whose tensors a thread makes, until its end.
class On {
 public:
  explicit On(Device device) : before_(current_device()) {
    if (device.has_index()) set_current_device(device.index());
    TORCH_CHECK(current_device() < device_count, "[pretend] there are ", int{device_count}, " devices but not ",
                device);
  }
  ~On() { set_current_device(before_); }
  On(const On&) = delete;
  On& operator=(const On&) = delete;

 private:
  DeviceIndex before_;
};

constexpr c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const On on(*device);
  return at::detail::empty_generic(size, &allocator(), keys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<Device> device, std::optional<bool>) {
  const On on(*device);
  return at::detail::empty_strided_generic(size, stride, &allocator(), keys, c10::dtype_or_default(dtype));
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  c10::TensorImpl* const tensor = self.unsafeGetTensorImpl();
  const std::size_t bytes = at::detail::computeStorageNbytesContiguous(size, self.itemsize());
  if (bytes > tensor->storage().nbytes()) {
    TORCH_CHECK(self.numel() == 0, "[pretend] only an empty tensor can be made larger");
    const On on(self.device());
    tensor->unsafe_storage().set_data_ptr_noswap(allocator().allocate(bytes));
    tensor->unsafe_storage().set_nbytes(bytes);
  }
  tensor->set_sizes_contiguous(size);
  return self;
}

at::Tensor& copy_(at::Tensor& self, const at::Tensor& from, bool non_blocking) {
  count_op();
  TORCH_CHECK(self.is_cpu() || from.is_cpu() || self.device() == from.device(),
              "[pretend] a copy must stay on one device but goes from ", from.device(), " to ", self.device());
  if (from.is_cpu()) count_upload();
  Opened opened("aten::copy_");
  const auto host = [&](const at::Tensor& tensor, Access access) {
    return tensor.is_cpu() ? tensor : opened.host_view(tensor, access);
  };
  const auto flies = [&](const at::Tensor& tensor) {
    return non_blocking && tensor.is_cpu() && tensor.is_contiguous() && tensor.numel() > 0 &&
           is_pinned(tensor.const_data_ptr()) && self.scalar_type() == from.scalar_type();
  };
  if (flies(self)) {
    count_download();
    const at::Tensor bytes = host(from, Access::kRead).contiguous();
    bring_later(self.data_ptr(), bytes.const_data_ptr(), bytes.nbytes(), opened.work(from.device().index()));
    return self;
  }
  if (self.is_cpu()) count_wait("a copy to the host");
  host(self, Access::kWrite).copy_(host(from, Access::kRead));
  if (flies(from)) {
    count_pinned_upload();
    is_taken(from.const_data_ptr(), from.nbytes(), opened.work(self.device().index()));
  }
  if (self.is_cpu()) host_waits_for(current_stream(from.device().index()));
  return self;
}

at::Scalar local_scalar(const at::Tensor& self) {
  count_wait("a number that it reads");
  Opened opened("a number that the host reads");
  const at::Scalar number = opened.host_view(self, Access::kRead).item();
  host_waits_for(current_stream(self.device().index()));
  return number;
}

/// Ops of libtorch that are not the CPU's kernel on the same memory.
constexpr std::array<std::string_view, 13> own_ops = {"aten::empty",
                                                      "aten::empty_strided",
                                                      "aten::resize_",
                                                      "aten::copy_",
                                                      "aten::as_strided",
                                                      "aten::view",
                                                      "aten::_reshape_alias",
                                                      "aten::_local_scalar_dense",
                                                      "aten::set_",
                                                      "aten::_copy_from",
                                                      "aten::_copy_from_and_resize",
                                                      "aten::empty_quantized",
                                                      "aten::_efficientzerotensor"};

at::Tensor reshape_alias(const at::Tensor& self, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::native::as_strided_tensorimpl(self, size, stride, self.storage_offset());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("resize_", &resize_);
  m.impl("copy_", &copy_);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(at::native::set_storage_cpu_));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("_local_scalar_dense", &local_scalar);
  // Every op that has a kernel for the CPU, and not the plain form that libtorch would choose for an unknown device:
  // the results are to have the CPU's bits.
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.getNamespace() != "aten" || std::find(own_ops.begin(), own_ops.end(), name.name) != own_ops.end())
      continue;
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (!op || !op->hasKernelForDispatchKey(c10::DispatchKey::CPU)) continue;
    const std::string whole = name.name + (name.overload_name.empty() ? "" : "." + name.overload_name);
    m.impl(whole.c_str(), torch::CppFunction::makeFromBoxedFunction<&run>());
  }
}

ehrjepa::Devices devices() {
  const std::int64_t machine =
      static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
  const auto memory = static_cast<std::int64_t>(memory_limit().value_or(static_cast<std::size_t>(machine)));
  ehrjepa::Devices all{true, "13.0", {}};
  for (c10::DeviceIndex i = 0; i < device_count; ++i) {
    const Held held = held_on(i);
    all.list.push_back(
        {"Pretend", 9, 0, memory, static_cast<std::int64_t>(held.now), static_cast<std::int64_t>(held.peak)});
  }
  return all;
}

const bool registered = [] {
  c10::register_privateuse1_backend("pretend");
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  c10::SetAllocator(DeviceType::PrivateUse1, &allocator());
  static const c10::impl::DeviceGuardImplRegistrar guard(DeviceType::PrivateUse1, new Guard);
  ehrjepa::memory::set_accelerator({DeviceType::PrivateUse1, &devices, &forbid_waits});
  return true;
}();

}  // namespace
}  // namespace pretend
