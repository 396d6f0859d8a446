#pragma once
// Nothing of it is named in ProcessGroupGloo.hpp; see context.h.
