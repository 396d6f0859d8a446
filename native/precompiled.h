// Precompiled for ehrjepa_core and its tests. Files still include what they use, so they also compile without it.
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cstdint>
#include <string>
#include <vector>
