#include <algorithm>
#include <openvino/openvino.hpp>

#include "network.h"

struct Network::Opened {
    ov::Core core;
    ov::InferRequest request;
};

Network::Network(const std::string& model_path, Volume& patch) : opened_(std::make_unique<Opened>()) {
    auto model = opened_->core.compile_model(model_path, "CPU", ov::hint::inference_precision(ov::element::f32));
    opened_->request = model.create_infer_request();
    const ov::Shape shape{1, 1, patch.shape[0], patch.shape[1], patch.shape[2]};
    opened_->request.set_input_tensor(ov::Tensor(ov::element::f32, shape, patch.voxels.data()));
}

Network::~Network() = default;

void Network::run() { opened_->request.infer(); }

Scores Network::scores() const {
    const ov::Tensor tensor = opened_->request.get_output_tensor();
    Scores scores{{}, tensor.data<const float>()};
    const ov::Shape shape = tensor.get_shape();
    std::copy_n(shape.begin(), scores.shape.size(), scores.shape.begin());
    return scores;
}
