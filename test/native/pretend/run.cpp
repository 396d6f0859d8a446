#include "native/pretend/run.h"

#include <ATen/ops/any.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/sort.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "native/pretend/counts.h"
#include "native/pretend/memory.h"

namespace pretend {
namespace {

/// Ops after which the host waits on a card: the size of what they return, or an error, is known to the device alone.
constexpr std::array<std::string_view, 7> waiting = {"aten::nonzero",      "aten::masked_select", "aten::equal",
                                                     "aten::_linalg_eigh", "aten::_unique2",      "aten::unique_dim",
                                                     "aten::linalg_svd"};

/// Ops that sum where an index says, on a card by atomic additions in any order: (source) index, of `index_add_(self,
/// dim, index, ...)` and its like. Each place may be named once.
constexpr std::array<std::string_view, 4> summing_anywhere = {"aten::index_add", "aten::index_add_",
                                                              "aten::scatter_add", "aten::scatter_add_"};
/// Ops whose sums of floating-point numbers come in any order on a card, wherever they go.
constexpr std::array<std::string_view, 6> never_in_order = {
    "aten::cumsum", "aten::cumsum_", "aten::histc", "aten::put_", "aten::scatter_reduce", "aten::scatter_reduce_"};

/// @throws for a call whose bits differ from run to run on a card.
void require_order(const c10::FunctionSchema& schema, const torch::jit::Stack& host) {
  const std::string& name = schema.name();
  const auto is_one_of = [&](const auto& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (host.empty() || !host[0].isTensor() || !host[0].toTensor().defined()) return;
  if (!host[0].toTensor().is_floating_point()) return;
  bool in_order = !is_one_of(never_in_order);
  if (is_one_of(summing_anywhere)) {
    // The index of `index_add` names rows, that of `scatter_add` a place along `dim` for each number.
    const at::Tensor& index = host[2].toTensor();
    const std::int64_t dim = index.dim() > 1 ? host[1].toInt() : 0;
    const at::Tensor sorted = std::get<0>(index.sort(dim));
    const std::int64_t last = sorted.size(dim) - 1;
    in_order = last < 1 || !sorted.narrow(dim, 1, last).eq(sorted.narrow(dim, 0, last)).any().item().toBool();
  }
  TORCH_CHECK(in_order, "[pretend] ", name, " sums in any order on a card, and so gives other bits every time");
}

/// An argument, as it was given and as the CPU sees it.
struct Argument {
  at::Tensor given, host;
  bool resized = false;  ///< an empty `out`, which the op makes as large as it needs
};

class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op), opened_(op.schema().name().c_str()) {}

  c10::IValue on_host(const c10::IValue& value, const c10::Argument& argument) {
    const bool is_out = argument.is_out();
    // A result that is a view of it is no use of it.
    const c10::AliasInfo* const alias = argument.alias_info();
    const Access access = alias == nullptr ? Access::kRead : alias->isWrite() ? Access::kWrite : Access::kNone;
    if (value.isTensor()) return host(value.toTensor(), is_out, access);
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(host(tensor, is_out, access));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
        list.push_back(tensor ? std::optional(host(*tensor, false, access)) : std::nullopt);
      }
      return list;
    }
    if (value.isDevice() && value.toDevice().is_privateuseone()) {
      meet(value.toDevice());
      return c10::Device(at::kCPU);
    }
    return value;
  }

  c10::IValue on_device(const c10::IValue& value) {
    if (value.isTensor()) return device(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(device(tensor));
      return list;
    }
    return value;
  }

 private:
  void meet(c10::Device device) {
    TORCH_CHECK(!device_ || *device_ == device, "[pretend] ", op_.schema().name(),
                " must be given tensors of one device but has ", *device_, " and ", device);
    device_ = device;
  }

  at::Tensor host(const at::Tensor& tensor, bool is_out, Access access) {
    if (!tensor.defined()) return tensor;
    if (tensor.is_cpu()) {
      TORCH_CHECK(tensor.dim() == 0, "[pretend] ", op_.schema().name(),
                  " must be given tensors of the device but has one of the host, of shape ", tensor.sizes());
      return tensor;
    }
    meet(tensor.device());
    Argument& argument = arguments_.emplace_back();
    argument.given = tensor;
    argument.resized = is_out && tensor.numel() == 0;
    argument.host = argument.resized ? at::empty({0}, at::TensorOptions().dtype(tensor.scalar_type()).device(at::kCPU))
                                     : opened_.host_view(tensor, access);
    return argument.host;
  }

  at::Tensor device(const at::Tensor& result) {
    if (!result.defined() || !device_) return result;
    for (const Argument& argument : arguments_) {
      if (result.is_same(argument.host)) return argument.resized ? resized(argument) : argument.given;
      const at::Tensor view = view_of(argument, result);
      if (view.defined()) return view;
    }
    const at::Tensor own = at::empty_strided(result.sizes(), result.strides(),
                                             at::TensorOptions().dtype(result.scalar_type()).device(*device_));
    opened_.host_view(own, Access::kWrite).copy_(result);
    return own;
  }

  at::Tensor resized(const Argument& argument) {
    argument.given.resize_(argument.host.sizes());
    opened_.host_view(argument.given, Access::kWrite).copy_(argument.host);
    return argument.given;
  }

  /// The same elements of the given tensor when the result lies in its memory.
  static at::Tensor view_of(const Argument& argument, const at::Tensor& result) {
    const auto* const begin = static_cast<const char*>(argument.host.storage().data());
    const auto* const data = static_cast<const char*>(result.storage().data());
    if (begin == nullptr || argument.resized || data != begin) return {};
    return at::as_strided(argument.given, result.sizes(), result.strides(),
                          argument.given.storage_offset() + result.storage_offset());
  }

  const c10::OperatorHandle& op_;
  Opened opened_;
  std::vector<Argument> arguments_;
  std::optional<c10::Device> device_;
};

}  // namespace

void run(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  count_op();
  const c10::FunctionSchema& schema = op.schema();
  if (std::find(waiting.begin(), waiting.end(), schema.name()) != waiting.end()) count_wait(schema.name().c_str());
  Call call(op);
  const std::size_t count = schema.arguments().size();
  const std::size_t begin = stack->size() - count;
  torch::jit::Stack host;
  for (std::size_t i = 0; i < count; ++i) {
    host.push_back(call.on_host((*stack)[begin + i], schema.arguments()[i]));
  }
  require_order(schema, host);
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &host);
  torch::jit::drop(*stack, count);
  for (const c10::IValue& value : host) stack->push_back(call.on_device(value));
}

}  // namespace pretend
