#include "ops/attention/cpu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "ops/attention/cpu_kernels.h"
#include "ops/cpu_types.h"

namespace ehrjepa::ops {
namespace attention_cpu {
namespace {

/// Query rows [begin, begin + rows) of one segment.
struct Block {
  std::int64_t begin, rows;
  Seen seen;
};

/// What is computed, in blocks of query rows.
struct Plan {
  std::vector<std::int64_t> positions;  ///< (Q) place of each query row among the keys
  std::vector<Block> blocks;
  /// Blocks of each trunk sequence and of the branches that see it. No two groups have a key in common.
  std::vector<std::vector<std::size_t>> groups;

  void add(std::size_t group, std::int64_t begin, std::int64_t end, const Seen& seen) {
    for (std::int64_t first = begin; first < end; first += block) {
      groups[group].push_back(blocks.size());
      blocks.push_back({first, std::min(block, end - first), seen});
    }
  }
};

Plan plan_of(const AttentionLayout& layout, at::OptionalIntArrayRef rows) {
  Plan plan;
  const std::vector<std::int64_t>& cu_seqlens = layout.cu_seqlens;
  if (rows) {
    plan.positions = rows->vec();
  } else {
    plan.positions.resize(static_cast<std::size_t>(layout.rows()));
    std::iota(plan.positions.begin(), plan.positions.end(), 0);
  }
  const auto place = [&](std::int64_t position) {
    return std::lower_bound(plan.positions.begin(), plan.positions.end(), position) - plan.positions.begin();
  };
  plan.groups.resize(std::max<std::size_t>(1, cu_seqlens.size() - 1));
  for (std::size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    plan.add(s, place(cu_seqlens[s]), place(cu_seqlens[s + 1]), {0, 0, cu_seqlens[s], false});
  }
  if (rows) return plan;  // of the trunk alone
  for (const Branch& branch : layout.branches) {
    const auto after = std::upper_bound(cu_seqlens.begin(), cu_seqlens.end() - 1, branch.context_begin);
    plan.add(static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, after - cu_seqlens.begin() - 1)), branch.begin,
             branch.end, {branch.context_begin, branch.context_end, branch.begin, layout.isolated});
  }
  return plan;
}

/// Calls `run(task, thread)` for each task, on whichever thread is free.
template <typename Run>
void for_each_task(std::int64_t count, const Run& run) {
  std::atomic<std::int64_t> next{0};
  at::parallel_for(0, at::get_num_threads(), 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t task = next++; task < count; task = next++) run(task, at::get_thread_num());
  });
}

Chosen best() {
  return {best_of(plain_kernels, avx2_kernels, avx512_kernels),
          multiplies_bfloat16() ? &avx512_bf16_pair_kernels : nullptr};
}

/// Calls `run` with the kernels for tensors of a dtype.
template <typename Run>
void with_kernels(at::ScalarType dtype, const Chosen& chosen, const Run& run) {
  if (dtype == at::kBFloat16 && chosen.pairs != nullptr) return run(*chosen.pairs);
  with_types(dtype, [&](auto element, auto) { run(kernels_of(element, chosen.set)); });
}

template <typename T>
constexpr at::ScalarType dtype_of = c10::CppTypeToScalarType<T>::value;
template <>
constexpr at::ScalarType dtype_of<Bf16> = at::kBFloat16;

/// Keys and values of all heads in the layout of the kernels, and scratch memory for each thread.
template <typename T, typename E, typename P>
class Packed {
 public:
  Packed(const at::Tensor& k, const at::Tensor& v, bool backward, const KernelsOf<T, E, P>& kernels)
      : head_dim_(k.size(2)),
        padded_((head_dim_ + head_multiple - 1) / head_multiple * head_multiple),
        rows_((k.size(0) + block - 1) / block * block) {
    const std::int64_t heads = k.size(1), blocks = rows_ / block;
    memory_ = at::empty({heads, backward ? kernels.backward_copies : kernels.forward_copies, rows_ * padded_},
                        k.options().dtype(dtype_of<P>));
    workspace_ = at::empty({at::get_num_threads(), workspace_size(padded_)}, k.options().dtype(dtype_of<E>));
    for_each_task(heads * blocks, [&](std::int64_t task, int) {
      const std::int64_t head = task / blocks, first = task % blocks * block;
      kernels.pack(data_of<T>(k) + head * head_dim_, data_of<T>(v) + head * head_dim_, heads * head_dim_, first,
                   std::min(block, k.size(0) - first), head_dim_, padded_, backward, of_head(head));
    });
  }

  PackedHead<P> of_head(std::int64_t head) const {
    const std::int64_t copy = rows_ * padded_;
    return {data_of<P>(memory_) + head * memory_.size(1) * copy, copy};
  }
  E* workspace(int thread) const { return data_of<E>(workspace_) + thread * workspace_.size(1); }
  std::int64_t padded() const { return padded_; }
  std::int64_t rows() const { return rows_; }

 private:
  std::int64_t head_dim_, padded_, rows_;
  at::Tensor memory_, workspace_;
};

/// One head's rows of a block.
template <typename T, typename E, typename P>
QueryBlock<T, E, P> query_block(const Plan& plan, const Block& of, std::int64_t head, const at::Tensor& q,
                                const at::Tensor& out, const at::Tensor& log_sum_NQ, const Packed<T, E, P>& packed,
                                double softmax_scale, std::int64_t groups, int thread) {
  const std::int64_t row = q.size(1) * q.size(2), offset = of.begin * row + head * q.size(2);
  return {.q = data_of<T>(q) + offset,
          .q_row = row,
          .rows = of.rows,
          .positions = plan.positions.data() + of.begin,
          .seen = of.seen,
          .head = packed.of_head(head / groups),
          .head_dim = q.size(2),
          .padded = packed.padded(),
          .softmax_scale = softmax_scale,
          .out = data_of<T>(out) + offset,
          .out_row = row,
          .log_sum = data_of<E>(log_sum_NQ) + head * q.size(0) + of.begin,
          .workspace = packed.workspace(thread)};
}

/// (rows, key/value heads, head_dim): the sum over the query heads of each key/value head, in their order.
template <typename T, typename E>
at::Tensor sum_over_groups(const at::Tensor& per_head, std::int64_t part, const at::Tensor& like, std::int64_t groups,
                           std::int64_t padded) {
  const at::Tensor result = at::empty_like(like);
  const std::int64_t heads = like.size(1), size = like.size(2), head_elements = per_head.size(1) * per_head.size(2);
  const E* const all = data_of<E>(per_head) + part * per_head.size(2);
  T* const sums = data_of<T>(result);
  at::parallel_for(0, like.size(0), block, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t head = 0; head < heads; ++head) {
        const E* const from = all + head * groups * head_elements + row * padded;
        T* const to = sums + (row * heads + head) * size;
        for (std::int64_t i = 0; i < size; ++i) {
          E sum = from[i];
          for (std::int64_t g = 1; g < groups; ++g) sum += from[g * head_elements + i];
          to[i] = narrow<T, E>(sum);
        }
      }
    }
  });
  return result;
}

template <typename T, typename E, typename P>
std::tuple<at::Tensor, at::Tensor> forward_with(const KernelsOf<T, E, P>& kernels, const at::Tensor& q,
                                                const at::Tensor& k, const at::Tensor& v, const AttentionLayout& layout,
                                                double softmax_scale, at::OptionalIntArrayRef rows) {
  const Plan plan = plan_of(layout, rows);
  const std::int64_t heads = q.size(1), groups = heads / k.size(1);
  const auto blocks = static_cast<std::int64_t>(plan.blocks.size());
  const at::Tensor out = at::empty_like(q);
  const at::Tensor log_sum_NQ = at::empty({heads, q.size(0)}, q.options().dtype(dtype_of<E>));
  const Packed<T, E, P> packed(k, v, /*backward=*/false, kernels);
  // The longest first, so that no thread is left with one at the end.
  for_each_task(heads * blocks, [&](std::int64_t task, int thread) {
    const Block& of = plan.blocks[static_cast<std::size_t>(blocks - 1 - task / heads)];
    kernels.forward(
        query_block<T, E, P>(plan, of, task % heads, q, out, log_sum_NQ, packed, softmax_scale, groups, thread));
  });
  return {out, log_sum_NQ};
}

template <typename T, typename E, typename P>
std::tuple<at::Tensor, at::Tensor, at::Tensor> backward_with(const KernelsOf<T, E, P>& kernels,
                                                             const at::Tensor& grad_out, const at::Tensor& q,
                                                             const at::Tensor& k, const at::Tensor& v,
                                                             const at::Tensor& out, const at::Tensor& log_sum_NQ,
                                                             const AttentionLayout& layout, double softmax_scale,
                                                             at::OptionalIntArrayRef rows) {
  const Plan plan = plan_of(layout, rows);
  const std::int64_t heads = q.size(1), groups = heads / k.size(1);
  const at::Tensor grad_q = at::empty_like(q);
  const Packed<T, E, P> packed(k, v, /*backward=*/true, kernels);
  // Of each query head apart: tasks share nothing, and the sums do not depend on the number of threads.
  const at::Tensor grads = at::zeros({heads, 2, packed.rows() * packed.padded()}, log_sum_NQ.options());
  const std::int64_t part = grads.size(2);
  for_each_task(heads * static_cast<std::int64_t>(plan.groups.size()), [&](std::int64_t task, int thread) {
    const std::int64_t head = task % heads, offset = head * q.size(2);
    E* const grad_keys = data_of<E>(grads) + head * 2 * part;
    for (const std::size_t index : plan.groups[static_cast<std::size_t>(task / heads)]) {
      const Block& of = plan.blocks[index];
      const std::int64_t first = of.begin * heads * q.size(2) + offset;
      kernels.backward(query_block<T, E, P>(plan, of, head, q, out, log_sum_NQ, packed, softmax_scale, groups, thread),
                       {.grad_out = data_of<T>(grad_out) + first,
                        .grad_q = data_of<T>(grad_q) + first,
                        .grad_keys = grad_keys,
                        .grad_values = grad_keys + part});
    }
  });
  return {grad_q, sum_over_groups<T, E>(grads, 0, k, groups, packed.padded()),
          sum_over_groups<T, E>(grads, 1, v, groups, packed.padded())};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                           const AttentionLayout& layout, double softmax_scale,
                                           at::OptionalIntArrayRef rows, const Chosen& chosen) {
  std::tuple<at::Tensor, at::Tensor> result;
  with_kernels(q.scalar_type(), chosen,
               [&](const auto& kernels) { result = forward_with(kernels, q, k, v, layout, softmax_scale, rows); });
  return result;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                        const at::Tensor& k, const at::Tensor& v, const at::Tensor& out,
                                                        const at::Tensor& log_sum_NQ, const AttentionLayout& layout,
                                                        double softmax_scale, at::OptionalIntArrayRef rows,
                                                        const Chosen& chosen) {
  std::tuple<at::Tensor, at::Tensor, at::Tensor> result;
  with_kernels(q.scalar_type(), chosen, [&](const auto& kernels) {
    result = backward_with(kernels, grad_out, q, k, v, out, log_sum_NQ, layout, softmax_scale, rows);
  });
  return result;
}

}  // namespace attention_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("attention_forward",
         [](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::IntArrayRef cu_seqlens,
            at::IntArrayRef branches, bool isolated, double softmax_scale, at::OptionalIntArrayRef rows) {
           return attention_cpu::forward(q, k, v, attention_layout(cu_seqlens, branches, isolated), softmax_scale, rows,
                                         attention_cpu::best());
         });
  m.impl("attention_backward", [](const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const at::Tensor& out, const at::Tensor& log_sum,
                                  at::IntArrayRef cu_seqlens, at::IntArrayRef branches, bool isolated,
                                  double softmax_scale, at::OptionalIntArrayRef rows) {
    return attention_cpu::backward(grad_out, q, k, v, out, log_sum, attention_layout(cu_seqlens, branches, isolated),
                                   softmax_scale, rows, attention_cpu::best());
  });
}

}  // namespace ehrjepa::ops
