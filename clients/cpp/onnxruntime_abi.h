// What this client knows of ONNX Runtime's C interface, which Python's package brings without its headers.
//
// The interface is a table of functions that only ever grows at its end: of version 1, which every release still
// hands out, a function's place never changes. onnxruntime_abi_check.cpp holds this against the real header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ort {

constexpr std::uint32_t kVersion = 1;

enum Place : std::size_t {
    kGetErrorMessage = 2,
    kCreateEnv = 3,
    kDisableTelemetryEvents = 6,
    kCreateSession = 7,
    kRun = 9,
    kCreateSessionOptions = 10,
    kCreateTensorWithDataAsOrtValue = 49,
    kGetTensorMutableData = 51,
    kGetDimensionsCount = 61,
    kGetDimensions = 62,
    kGetTensorTypeAndShape = 65,
    kCreateCpuMemoryInfo = 69,
    kReleaseEnv = 92,
    kReleaseStatus = 93,
    kReleaseMemoryInfo = 94,
    kReleaseSession = 95,
    kReleaseValue = 96,
    kReleaseTensorTypeAndShapeInfo = 99,
    kReleaseSessionOptions = 100,
};

enum Constant : int { kErrorsOnly = 3, kDeviceAllocator = 0, kDefaultMemory = 0, kFloat = 1 };

using Function = void (*)();

struct Base {
    const Function* (*table)(std::uint32_t version);
    const char* (*version)();
};

}  // namespace ort
