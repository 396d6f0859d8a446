#include "convert.h"

#include <cmath>
#include <cstring>
#include <optional>

namespace ehrjepa::bindings {
namespace {

const char* type_name(const Napi::Value& value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsTypedArray()) return "another typed array";
  if (value.IsArray()) return "an array";
  switch (value.Type()) {
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_bigint:
      return "a bigint";
    case napi_function:
      return "a function";
    default:
      return "an object";
  }
}

[[noreturn]] void type_error(const Napi::Env& env, const std::string& message) {
  throw Napi::TypeError::New(env, message);
}

Napi::Value nullable(Napi::Env env, const std::optional<double>& value) {
  return value ? Napi::Number::New(env, *value) : env.Null();
}

}  // namespace

FieldReader::FieldReader(const char* scope, const Napi::Value& value) : scope_(scope) {
  if (!value.IsObject()) {
    type_error(value.Env(), std::string("[") + scope + "] must be an object but is " + type_name(value));
  }
  object_ = value.As<Napi::Object>();
}

Napi::Value FieldReader::field(const char* name) const { return object_.Get(name); }

void FieldReader::refuse(const char* name, const char* expected, const Napi::Value& found) const {
  type_error(found.Env(),
             std::string("[") + scope_ + "] " + name + " must be " + expected + " but is " + type_name(found));
}

double FieldReader::number(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue()))
    refuse(name, "a finite number", value);
  return value.As<Napi::Number>().DoubleValue();
}

std::int64_t FieldReader::integer(const char* name) const {
  const double value = number(name);
  if (value != std::floor(value) || std::abs(value) > 9007199254740991.0) refuse(name, "a safe integer", field(name));
  return static_cast<std::int64_t>(value);
}

bool FieldReader::boolean(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsBoolean()) refuse(name, "a boolean", value);
  return value.As<Napi::Boolean>().Value();
}

std::string FieldReader::text(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsString()) refuse(name, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

template <typename T>
std::vector<T> FieldReader::typed_array(const char* name, napi_typedarray_type type, const char* expected) const {
  const Napi::Value value = field(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) refuse(name, expected, value);
  // Copied: JavaScript may detach or change the array while another thread reads it.
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<std::int32_t> FieldReader::int32s(const char* name) const {
  return typed_array<std::int32_t>(name, napi_int32_array, "an Int32Array");
}

std::vector<float> FieldReader::float32s(const char* name) const {
  return typed_array<float>(name, napi_float32_array, "a Float32Array");
}

std::vector<std::uint8_t> FieldReader::uint8s(const char* name) const {
  return typed_array<std::uint8_t>(name, napi_uint8_array, "a Uint8Array");
}

std::vector<double> FieldReader::numbers(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsArray()) refuse(name, "an array of numbers", value);
  const auto array = value.As<Napi::Array>();
  std::vector<double> result;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsNumber() || !std::isfinite(item.As<Napi::Number>().DoubleValue())) {
      refuse(name, "an array of finite numbers", item);
    }
    result.push_back(item.As<Napi::Number>().DoubleValue());
  }
  return result;
}

std::vector<float> float32_argument(const char* name, const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) {
    type_error(value.Env(), std::string("[engine] ") + name + " must be a Float32Array but is " + type_name(value));
  }
  const auto array = value.As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::uint32_t job_id(const Napi::Value& value) {
  if (!value.IsNumber())
    type_error(value.Env(), std::string("[engine] jobId must be a number but is ") + type_name(value));
  return value.As<Napi::Number>().Uint32Value();
}

bool boolean_argument(const char* name, const Napi::Value& value) {
  if (!value.IsBoolean()) {
    type_error(value.Env(), std::string("[engine] ") + name + " must be a boolean but is " + type_name(value));
  }
  return value.As<Napi::Boolean>().Value();
}

std::string text_argument(const char* name, const Napi::Value& value) {
  if (!value.IsString()) {
    type_error(value.Env(), std::string("[engine] ") + name + " must be a string but is " + type_name(value));
  }
  return value.As<Napi::String>().Utf8Value();
}

namespace {

template <typename T>
struct Choice {
  const char* name;
  T value;
};

template <typename T, std::size_t N>
T one_of(const FieldReader& read, const char* scope, const char* field, const Choice<T> (&choices)[N],
         const Napi::Env& env) {
  const std::string found = read.text(field);
  std::string names;
  for (const Choice<T>& choice : choices) {
    if (found == choice.name) return choice.value;
    names += std::string(names.empty() ? "" : ", ") + choice.name;
  }
  type_error(env, std::string("[") + scope + "] " + field + " must be one of " + names + " but is \"" + found + "\"");
}

std::vector<std::string> texts(const char* scope, const char* name, const Napi::Value& value) {
  if (!value.IsArray()) {
    type_error(value.Env(), std::string("[") + scope + "] " + name + " must be an array but is " + type_name(value));
  }
  std::vector<std::string> result;
  for (std::uint32_t i = 0; i < value.As<Napi::Array>().Length(); ++i) {
    result.push_back(text_argument(name, value.As<Napi::Array>().Get(i)));
  }
  return result;
}

std::optional<api::LoraOptions> lora_options(const Napi::Value& value) {
  if (value.IsNull()) return std::nullopt;
  const FieldReader read("lora", value);
  return api::LoraOptions{read.integer("rank"), read.number("alpha"), read.number("dropout"),
                          texts("lora", "targets", value.As<Napi::Object>().Get("targets"))};
}

api::PredictorOptions predictor_options(const Napi::Value& value) {
  const char* const scope = "predictor options";
  const FieldReader read(scope, value);
  static constexpr Choice<api::PredictorKind> kinds[] = {{"identity", api::PredictorKind::kIdentity},
                                                         {"mlp", api::PredictorKind::kMlp},
                                                         {"transformer", api::PredictorKind::kTransformer}};
  return {.kind = one_of(read, scope, "kind", kinds, value.Env()),
          .width = read.integer("width"),
          .layers = read.integer("layers"),
          .heads = read.integer("heads"),
          .from_state = read.boolean("fromState")};
}

}  // namespace

api::EngineOptions engine_options(const Napi::Value& value) {
  const FieldReader read("engine options", value);
  return {
      .vocab_size = read.integer("vocabSize"),
      .hidden_size = read.integer("hiddenSize"),
      .intermediate_size = read.integer("intermediateSize"),
      .num_hidden_layers = read.integer("numHiddenLayers"),
      .num_attention_heads = read.integer("numAttentionHeads"),
      .num_key_value_heads = read.integer("numKeyValueHeads"),
      .head_dim = read.integer("headDim"),
      .rms_norm_eps = read.number("rmsNormEps"),
      .rope_theta = read.number("ropeTheta"),
      .initializer_range = read.number("initializerRange"),
      .tie_word_embeddings = read.boolean("tieWordEmbeddings"),
      .predictor = predictor_options(value.As<Napi::Object>().Get("predictor")),
      .compute_dtype = read.text("computeDtype"),
      .parameter_dtype = read.text("parameterDtype"),
      .lora = lora_options(value.As<Napi::Object>().Get("lora")),
      .frozen = texts("engine options", "frozen", value.As<Napi::Object>().Get("frozen")),
      .encoder_from_files = read.boolean("encoderFromFiles"),
      .seed = static_cast<std::uint64_t>(read.integer("seed")),
      .threads = static_cast<int>(read.integer("threads")),
  };
}

api::PackedBatch packed_batch(const Napi::Value& value) {
  const FieldReader read("batch", value);
  return {read.int32s("tokens"), read.int32s("cuSeqlens"), read.int32s("positionIds")};
}

api::TrainingBatch training_batch(const Napi::Value& value) {
  const FieldReader read("batch", value);
  const FieldReader branches("branches", value.As<Napi::Object>().Get("branches"));
  static constexpr Choice<api::BranchKind> kinds[] = {{"causal", api::BranchKind::kCausal},
                                                      {"isolated", api::BranchKind::kIsolated},
                                                      {"state", api::BranchKind::kState},
                                                      {"views", api::BranchKind::kViews}};
  return {packed_batch(value), read.int32s("contextLengths"),
          api::BranchTable{.sequences = branches.int32s("sequences"),
                           .cuts = branches.int32s("cuts"),
                           .cu_rows = branches.int32s("cuRows"),
                           .tokens = branches.int32s("tokens"),
                           .position_ids = branches.int32s("positionIds"),
                           .targets = branches.int32s("targets"),
                           .days = branches.float32s("days"),
                           .kind = one_of(branches, "branches", "kind", kinds, value.Env()),
                           .predictor_tokens = branches.integer("predictorTokens")}};
}

std::vector<api::TrainingBatch> training_batches(const Napi::Value& value) {
  if (!value.IsArray())
    type_error(value.Env(), std::string("[engine] batches must be an array but is ") + type_name(value));
  std::vector<api::TrainingBatch> result;
  for (std::uint32_t i = 0; i < value.As<Napi::Array>().Length(); ++i) {
    result.push_back(training_batch(value.As<Napi::Array>().Get(i)));
  }
  return result;
}

namespace {

api::LatentOptions latent_options(const Napi::Value& value) {
  const char* const scope = "latent options";
  const FieldReader read(scope, value);
  static constexpr Choice<api::LatentLossKind> losses[] = {{"mse", api::LatentLossKind::kMse},
                                                           {"smooth-l1", api::LatentLossKind::kSmoothL1},
                                                           {"l1", api::LatentLossKind::kL1},
                                                           {"cosine", api::LatentLossKind::kCosine}};
  static constexpr Choice<api::TargetKind> targets[] = {
      {"ema", api::TargetKind::kEma}, {"online", api::TargetKind::kOnline}, {"views", api::TargetKind::kViews}};
  return {.loss = one_of(read, scope, "loss", losses, value.Env()),
          .beta = read.number("beta"),
          .target = one_of(read, scope, "target", targets, value.Env()),
          .target_layers = read.integer("targetLayers"),
          .variance_weight = read.number("varianceWeight"),
          .covariance_weight = read.number("covarianceWeight"),
          .sigreg_weight = read.number("sigregWeight")};
}

}  // namespace

api::LossOptions loss_options(const Napi::Value& value) {
  const char* const scope = "loss options";
  const FieldReader read(scope, value);
  static constexpr Choice<bool> scored[] = {{"future", false}, {"all", true}};
  return {.next_token_weight = read.number("nextTokenWeight"),
          .latent_weight = read.number("latentWeight"),
          .score_all = one_of(read, scope, "nextTokenOn", scored, value.Env()),
          .with_collapse_monitors = read.boolean("withCollapseMonitors"),
          .with_interference = read.boolean("withInterference"),
          .latent = latent_options(value.As<Napi::Object>().Get("latent")),
          .seed = static_cast<std::uint64_t>(read.integer("seed")),
          .step = static_cast<std::uint32_t>(read.integer("step"))};
}

api::StepOptions step_options(const Napi::Value& value) {
  const FieldReader read("step options", value);
  return {loss_options(value),         read.number("learningRate"), read.number("beta1"),
          read.number("beta2"),        read.number("epsilon"),      read.number("weightDecay"),
          read.number("gradientClip"), read.number("momentum"),     read.boolean("restartTarget")};
}

api::StateKind state_kind(const Napi::Value& value) {
  const std::string kind = text_argument("kind", value);
  if (kind == "encoder") return api::StateKind::kEncoder;
  if (kind == "target_encoder") return api::StateKind::kTargetEncoder;
  if (kind == "adapters") return api::StateKind::kAdapters;
  if (kind == "target_adapters") return api::StateKind::kTargetAdapters;
  if (kind == "predictor") return api::StateKind::kPredictor;
  if (kind == "optimizer") return api::StateKind::kOptimizer;
  type_error(
      value.Env(),
      "[engine] kind must be encoder, target_encoder, adapters, target_adapters, predictor or optimizer but is \"" +
          kind + "\"");
}

api::Pooling pooling(const Napi::Value& value) {
  const std::string name = text_argument("pooling", value);
  if (name == "last") return api::Pooling::kLast;
  if (name == "mean") return api::Pooling::kMean;
  type_error(value.Env(), "[engine] pooling must be \"last\" or \"mean\" but is \"" + name + "\"");
}

api::EncoderChoice encoder_choice(const Napi::Value& value) {
  const std::string name = text_argument("encoder", value);
  if (name == "encoder") return api::EncoderChoice::kEncoder;
  if (name == "target_encoder") return api::EncoderChoice::kTargetEncoder;
  type_error(value.Env(), "[engine] encoder must be \"encoder\" or \"target_encoder\" but is \"" + name + "\"");
}

std::map<std::string, std::string> metadata(const Napi::Value& value) {
  const FieldReader read("metadata", value);
  std::map<std::string, std::string> result;
  const Napi::Array names = value.As<Napi::Object>().GetPropertyNames();
  for (std::uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    result[name] = read.text(name.c_str());
  }
  return result;
}

api::SaveOptions save_options(const Napi::Value& value) {
  const FieldReader read("save options", value);
  const Napi::Object object = value.As<Napi::Object>();
  api::SaveOptions result{metadata(object.Get("metadata")), "", {}};
  if (!object.Get("dtype").IsUndefined()) result.dtype = read.text("dtype");
  if (const Napi::Value names = object.Get("names"); !names.IsUndefined()) {
    result.names = texts("save options", "names", names);
  }
  return result;
}

api::Placement placement(const Napi::Value& value) {
  const std::string name = text_argument("placement", value);
  if (name == "owned") return api::Placement::kOwned;
  if (name == "mapped") return api::Placement::kMapped;
  type_error(value.Env(), "[engine] placement must be \"owned\" or \"mapped\" but is \"" + name + "\"");
}

std::vector<api::StateKind> state_kinds(const Napi::Value& value) {
  if (!value.IsArray())
    type_error(value.Env(), std::string("[engine] kinds must be an array but is ") + type_name(value));
  std::vector<api::StateKind> result;
  for (std::uint32_t i = 0; i < value.As<Napi::Array>().Length(); ++i) {
    result.push_back(state_kind(value.As<Napi::Array>().Get(i)));
  }
  return result;
}

std::vector<api::TensorEntry> tensor_entries(const Napi::Value& value) {
  if (!value.IsArray()) {
    type_error(value.Env(), std::string("[engine] entries must be an array but is ") + type_name(value));
  }
  const auto array = value.As<Napi::Array>();
  std::vector<api::TensorEntry> result;
  result.reserve(array.Length());
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    const FieldReader read("tensor entry", item);
    const Napi::Value shape = item.As<Napi::Object>().Get("shape");
    if (!shape.IsArray()) type_error(value.Env(), "[tensor entry] shape must be an array");
    std::vector<std::int64_t> sizes;
    for (std::uint32_t d = 0; d < shape.As<Napi::Array>().Length(); ++d) {
      sizes.push_back(shape.As<Napi::Array>().Get(d).ToNumber().Int64Value());
    }
    result.push_back({read.text("name"), read.text("path"), read.text("dtype"), std::move(sizes),
                      static_cast<std::uint64_t>(read.integer("begin")),
                      static_cast<std::uint64_t>(read.integer("end"))});
  }
  return result;
}

Napi::Float32Array float32_array(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

Napi::Object to_object(Napi::Env env, const api::Losses& losses) {
  const Napi::Object result = Napi::Object::New(env);
  result.Set("loss", losses.loss);
  result.Set("nextTokenLoss", nullable(env, losses.next_token_loss));
  result.Set("latentLoss", nullable(env, losses.latent_loss));
  result.Set("scoredTokens", static_cast<double>(losses.scored_tokens));
  result.Set("regulariser", nullable(env, losses.regulariser));
  result.Set("interference", nullable(env, losses.interference));
  if (losses.collapse) {
    const api::CollapseMonitors& monitors = *losses.collapse;
    const Napi::Object collapse = Napi::Object::New(env);
    collapse.Set("predictionStd", monitors.prediction_std);
    collapse.Set("targetStd", monitors.target_std);
    collapse.Set("predictionCosine", monitors.prediction_cosine);
    collapse.Set("targetCosine", monitors.target_cosine);
    collapse.Set("predictionEffectiveRank", monitors.prediction_effective_rank);
    collapse.Set("targetEffectiveRank", monitors.target_effective_rank);
    collapse.Set("batchMeanLoss", monitors.batch_mean_loss);
    collapse.Set("copyContextLoss", monitors.copy_context_loss);
    collapse.Set("targetEncoderDistance", monitors.target_encoder_distance);
    result.Set("collapse", collapse);
  }
  return result;
}

Napi::Object to_object(Napi::Env env, const api::StepResult& result) {
  const Napi::Object object = to_object(env, static_cast<const api::Losses&>(result));
  object.Set("gradientNorm", result.gradient_norm);
  return object;
}

}  // namespace ehrjepa::bindings
