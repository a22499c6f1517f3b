// Fails to compile where onnxruntime_abi.h says something else than ONNX Runtime's own header.
#include "onnxruntime_abi.h"

#include <onnxruntime_c_api.h>

#define SAME_PLACE(name) \
    static_assert(offsetof(OrtApi, name) == ort::k##name * sizeof(ort::Function), #name " is elsewhere")

SAME_PLACE(GetErrorMessage);
SAME_PLACE(CreateEnv);
SAME_PLACE(DisableTelemetryEvents);
SAME_PLACE(CreateSession);
SAME_PLACE(Run);
SAME_PLACE(CreateSessionOptions);
SAME_PLACE(CreateTensorWithDataAsOrtValue);
SAME_PLACE(GetTensorMutableData);
SAME_PLACE(GetDimensionsCount);
SAME_PLACE(GetDimensions);
SAME_PLACE(GetTensorTypeAndShape);
SAME_PLACE(CreateCpuMemoryInfo);
SAME_PLACE(ReleaseEnv);
SAME_PLACE(ReleaseStatus);
SAME_PLACE(ReleaseMemoryInfo);
SAME_PLACE(ReleaseSession);
SAME_PLACE(ReleaseValue);
SAME_PLACE(ReleaseTensorTypeAndShapeInfo);
SAME_PLACE(ReleaseSessionOptions);

static_assert(ORT_LOGGING_LEVEL_ERROR == int{ort::kErrorsOnly});
static_assert(OrtDeviceAllocator == int{ort::kDeviceAllocator});
static_assert(OrtMemTypeDefault == int{ort::kDefaultMemory});
static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == int{ort::kFloat});
static_assert(offsetof(OrtApiBase, GetApi) == offsetof(ort::Base, table));
