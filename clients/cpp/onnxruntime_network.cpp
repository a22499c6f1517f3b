#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "network.h"
#include "onnxruntime_abi.h"

extern "C" const ort::Base* OrtGetApiBase() noexcept;

namespace {

// What every exported graph calls them.
constexpr const char* kInput = "windows";
constexpr const char* kOutput = "scores";

const ort::Function* table() {
    static const ort::Function* const functions = OrtGetApiBase()->table(ort::kVersion);
    if (!functions) throw std::runtime_error("this ONNX Runtime does not speak version 1 of its interface");
    return functions;
}

template <typename Result, typename... Arguments>
Result call(ort::Place place, Arguments... arguments) {
    return reinterpret_cast<Result (*)(Arguments...) noexcept>(table()[place])(arguments...);
}

// Most functions give a status, which is null when all is well.
template <typename... Arguments>
void require(ort::Place place, Arguments... arguments) {
    void* status = call<void*>(place, arguments...);
    if (!status) return;
    const std::string message = call<const char*>(ort::kGetErrorMessage, const_cast<const void*>(status));
    call<void>(ort::kReleaseStatus, status);
    throw std::runtime_error(message);
}

// One of ONNX Runtime's objects; each kind has its own function that frees it.
template <ort::Place Release>
class Owned {
public:
    Owned() = default;
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    ~Owned() { clear(); }

    void* get() const { return object_; }
    void** filled() {
        clear();
        return &object_;
    }

private:
    void clear() {
        if (object_) call<void>(Release, object_);
        object_ = nullptr;
    }
    void* object_ = nullptr;
};

}  // namespace

struct Network::Opened {
    Owned<ort::kReleaseEnv> environment;
    Owned<ort::kReleaseSession> session;
    Owned<ort::kReleaseValue> patch, scores;

    void open(const std::string& model_path) {
        setenv("ORT_DISABLE_TELEMETRY", "1", 0);
        Owned<ort::kReleaseSessionOptions> options;
        require(ort::kCreateEnv, int{ort::kErrorsOnly}, "segline_patch", environment.filled());
        require(ort::kDisableTelemetryEvents, environment.get());
        require(ort::kCreateSessionOptions, options.filled());
        require(ort::kCreateSession, environment.get(), model_path.c_str(), options.get(), session.filled());
    }

    void take(Volume& volume) {
        Owned<ort::kReleaseMemoryInfo> place;
        require(ort::kCreateCpuMemoryInfo, int{ort::kDeviceAllocator}, int{ort::kDefaultMemory}, place.filled());
        std::array<std::int64_t, 5> shape{1, 1};
        std::copy(volume.shape.begin(), volume.shape.end(), shape.begin() + 2);
        require(ort::kCreateTensorWithDataAsOrtValue, place.get(), static_cast<void*>(volume.voxels.data()),
                volume.voxels.size() * sizeof(float), shape.data(), shape.size(), int{ort::kFloat}, patch.filled());
    }
};

Network::Network(const std::string& model_path, Volume& patch) : opened_(std::make_unique<Opened>()) {
    opened_->open(model_path);
    opened_->take(patch);
}

Network::~Network() = default;

void Network::run() {
    void* patch = opened_->patch.get();
    require(ort::kRun, opened_->session.get(), static_cast<void*>(nullptr), &kInput, &patch, std::size_t{1}, &kOutput,
            std::size_t{1}, opened_->scores.filled());
}

Scores Network::scores() const {
    Owned<ort::kReleaseTensorTypeAndShapeInfo> info;
    std::size_t axes = 0;
    void* values = nullptr;
    require(ort::kGetTensorTypeAndShape, opened_->scores.get(), info.filled());
    require(ort::kGetDimensionsCount, info.get(), &axes);
    Scores scores{};
    if (axes != scores.shape.size()) throw std::runtime_error("the network does not score voxels");
    std::array<std::int64_t, 5> shape{};
    require(ort::kGetDimensions, info.get(), shape.data(), axes);
    std::copy(shape.begin(), shape.end(), scores.shape.begin());
    require(ort::kGetTensorMutableData, opened_->scores.get(), &values);
    scores.values = static_cast<const float*>(values);
    return scores;
}
