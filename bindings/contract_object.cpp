#include "contract_object.h"

#include "api/tables.h"
#include "contract/batch.h"
#include "contract/build_info.h"
#include "contract/devices.h"
#include "contract/doctor.h"
#include "contract/losses.h"
#include "contract/model.h"
#include "contract/probes.h"
#include "contract/ranks.h"
#include "contract/reading.h"
#include "contract/resample.h"
#include "contract/state.h"
#include "contract/traffic.h"
#include "convert.h"

namespace ehrjepa::bindings {
namespace {

Napi::Value keys(Napi::Env env, const std::vector<std::string>& names) {
  const Napi::Array result = Napi::Array::New(env);
  for (const std::string& name : names) result.Set(result.Length(), camel_case(name));
  return result;
}

}  // namespace

Napi::Value contract_object(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("NativeEngineOptions", describe<EngineOptions>(env));
  result.Set("NativeGroupOptions", describe<GroupOptions>(env));
  result.Set("NativeTraffic", describe<Traffic>(env));
  result.Set("NativeShardRange", describe<ShardRange>(env));
  result.Set("PackedBatch", describe<PackedBatch>(env));
  result.Set("NativeTrainingBatch", describe<TrainingBatch>(env));
  result.Set("NativeLossOptions", describe<LossOptions>(env));
  result.Set("NativeStepOptions", describe<StepOptions>(env));
  result.Set("NativeLosses", describe<Losses>(env));
  result.Set("NativeStepResult", describe<StepResult>(env));
  result.Set("NativeTensorEntry", describe<TensorEntry>(env));
  result.Set("NativeSaveOptions", describe<SaveOptions>(env));
  result.Set("NativeScores", describe<Scores>(env));
  result.Set("NativeLogisticOptions", describe<LogisticOptions>(env));
  result.Set("NativeLogisticResult", describe<LogisticResult>(env));
  result.Set("NativeRidgeOptions", describe<RidgeOptions>(env));
  result.Set("NativeRidgeResult", describe<RidgeResult>(env));
  result.Set("NativeMultinomialOptions", describe<MultinomialOptions>(env));
  result.Set("NativeCoxOptions", describe<CoxOptions>(env));
  result.Set("NativeHazardOptions", describe<HazardOptions>(env));
  result.Set("NativeResampleOptions", describe<ResampleOptions>(env));
  result.Set("NativeResampleResult", describe<ResampleResult>(env));
  result.Set("NativeNewtonResult", describe<NewtonResult>(env));
  result.Set("NativeWeightShape", describe<WeightShape>(env));
  result.Set("NativeBuildInfo", describe<BuildInfo>(env));
  result.Set("NativeDevices", describe<Devices>(env));
  result.Set("NativeOpCheckOptions", describe<OpCheckOptions>(env));
  result.Set("NativeOpCheck", describe<OpCheck>(env));
  result.Set("NativeStateKind", describe<StateKind>(env));
  result.Set("Placement", describe<Placement>(env));
  result.Set("Pooling", describe<Pooling>(env));
  result.Set("EncoderChoice", describe<EncoderChoice>(env));
  result.Set("antiCollapse", keys(env, api::anti_collapse_names()));
  result.Set("collapseMonitors", keys(env, api::collapse_monitor_names()));
  return result;
}

}  // namespace ehrjepa::bindings
