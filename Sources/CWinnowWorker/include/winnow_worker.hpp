// winnow_worker.hpp: the C interface for C++17, with owners and exceptions. See winnow_worker.h for what everything means.
#ifndef WINNOW_WORKER_HPP
#define WINNOW_WORKER_HPP

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "winnow_worker.h"

namespace winnow {

/// A status that is not WINNOW_OK.
class error : public std::runtime_error {
public:
    error(winnow_code code, const char *message) : std::runtime_error(message), code_(code) {}
    winnow_code code() const noexcept { return code_; }

private:
    winnow_code code_;
};

/// Throws what a status says, if it says anything, and releases it.
inline void check(winnow_status *status) {
    if (status == nullptr) return;
    const std::unique_ptr<winnow_status, void (*)(winnow_status *)> owner(status, winnow_status_release);
    throw error(winnow_status_code(status), winnow_status_message(status));
}

/// An event whose text is its own.
struct event {
    winnow_event_kind kind;
    winnow_code code;
    std::int32_t stage, stage_count, first_layer, end_layer;
    double fraction;
    std::string text, layers;

    explicit event(const winnow_event &from)
        : kind(from.kind), code(from.code), stage(from.stage), stage_count(from.stage_count),
          first_layer(from.first_layer), end_layer(from.end_layer), fraction(from.fraction), text(from.text),
          layers(from.layers) {}
};

/// What a worker is told: the C struct's fields, with strings and functions that it owns.
struct config {
    std::string model, coordinator;
    std::optional<std::string> listen, advertised_host, pipeline, weights_cache, name, key_file, layers;
    std::vector<std::int32_t> cpus;
    /// The other fields; its pointers are set from the above.
    winnow_worker_config fields;
    /// On the worker's threads; what they throw is dropped.
    std::function<void(winnow_log_level, const char *)> on_log;
    std::function<void(const event &)> on_event;

    config(std::string model, std::string coordinator)
        : model(std::move(model)), coordinator(std::move(coordinator)) {
        winnow_worker_config_init(&fields, sizeof fields);
    }
};

/// A worker; destroying it ends it at once and waits for its threads.
class worker {
public:
    explicit worker(config from) : config_(std::make_unique<config>(std::move(from))) {
        const auto text = [](const std::optional<std::string> &value) { return value ? value->c_str() : nullptr; };
        winnow_worker_config &fields = config_->fields;
        fields.model = config_->model.c_str();
        fields.coordinator = config_->coordinator.c_str();
        fields.listen = text(config_->listen);
        fields.advertised_host = text(config_->advertised_host);
        fields.pipeline = text(config_->pipeline);
        fields.weights_cache = text(config_->weights_cache);
        fields.name = text(config_->name);
        fields.key_file = text(config_->key_file);
        fields.layers = text(config_->layers);
        fields.cpus = config_->cpus.data();
        fields.cpu_count = config_->cpus.size();
        if (config_->on_log) {
            fields.log_user_data = config_.get();
            fields.on_log = [](winnow_log_level level, const char *message, void *user_data) {
                try {
                    static_cast<config *>(user_data)->on_log(level, message);
                } catch (...) {
                }
            };
        }
        if (config_->on_event) {
            fields.event_user_data = config_.get();
            fields.on_event = [](const winnow_event *raw, void *user_data) {
                try {
                    static_cast<config *>(user_data)->on_event(event(*raw));
                } catch (...) {
                }
            };
        }
        if (winnow_abi_version() < WINNOW_WORKER_ABI_VERSION)
            throw error(WINNOW_MISUSE, "the winnow_worker library is older than this program");
        check(winnow_worker_create(&fields, &handle_));
    }

    worker(worker &&other) noexcept
        : config_(std::move(other.config_)), handle_(std::exchange(other.handle_, nullptr)) {}
    worker &operator=(worker &&other) noexcept {
        std::swap(config_, other.config_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~worker() { winnow_status_release(winnow_worker_destroy(handle_)); }

    void start() { check(winnow_worker_start(handle_)); }
    void drain() { check(winnow_worker_drain(handle_)); }
    void stop() { check(winnow_worker_stop(handle_)); }

    /// Waits for its end; throws why, unless that was in order.
    void wait() { check(winnow_worker_wait(handle_, -1)); }

    /// The same for a while; false: it has not ended.
    bool wait_for(std::chrono::milliseconds time) {
        winnow_status *status = winnow_worker_wait(handle_, time.count() < 0 ? 0 : time.count());
        if (winnow_status_code(status) == WINNOW_TIMEOUT) {
            winnow_status_release(status);
            return false;
        }
        check(status);
        return true;
    }

    /// Readable while events wait.
    int descriptor() const {
        int descriptor = -1;
        check(winnow_worker_descriptor(handle_, &descriptor));
        return descriptor;
    }

    std::optional<event> next_event() {
        winnow_event raw{};
        raw.struct_size = sizeof raw;
        int is_event = 0;
        check(winnow_worker_next_event(handle_, &raw, &is_event));
        return is_event != 0 ? std::optional<event>(event(raw)) : std::nullopt;
    }

    winnow_worker_snapshot snapshot() const {
        winnow_worker_snapshot snapshot{};
        snapshot.struct_size = sizeof snapshot;
        check(winnow_worker_get_snapshot(handle_, &snapshot));
        return snapshot;
    }

    std::string endpoint() const {
        const char *endpoint = nullptr;
        check(winnow_worker_endpoint(handle_, &endpoint));
        return endpoint;
    }

private:
    /// Where it lies must not change: callbacks are given its address.
    std::unique_ptr<config> config_;
    winnow_worker *handle_ = nullptr;
};

}  // namespace winnow
#endif
