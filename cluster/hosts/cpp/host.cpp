// A worker in a C++ program, owned by an object: `host stage|speculator MODEL COORDINATOR`.
//
// Prints one line an event. SIGTERM or SIGINT drains. Exit status 0: the worker ended in order.
//
//     c++ -std=c++17 host.cpp $(pkg-config --cflags --libs winnow_worker) -pthread -o host
#include <winnow_worker.hpp>

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

int main(int count, char **words) {
    if (count != 4) {
        std::fprintf(stderr, "usage: host stage|speculator MODEL COORDINATOR\n");
        return 64;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    try {
        winnow::config config(words[2], words[3]);
        config.fields.role =
            std::string(words[1]) == "speculator" ? WINNOW_ROLE_SPECULATOR : WINNOW_ROLE_STAGE;
        config.fields.log_level = WINNOW_LOG_WARNING;
        config.name = "cpp";
        config.on_log = [](winnow_log_level, const char *message) { std::fprintf(stderr, "host: %s\n", message); };
        config.on_event = [](const winnow::event &event) {
            static const char *const kinds[] = {"?", "registered", "coordinator_lost", "assigned", "unassigned",
                "loading", "ready", "fault", "draining", "ended"};
            const int kind = event.kind > 0 && event.kind <= WINNOW_EVENT_ENDED ? event.kind : 0;
            std::printf("0 %s %s\n", kinds[kind], event.text.c_str());
            std::fflush(stdout);
        };
        winnow::worker worker(std::move(config));
        worker.start();
        // The program's own threads and signals stay its own.
        std::thread waiter([&ends, &worker] {
            int signal = 0;
            while (sigwait(&ends, &signal) == 0 && signal != SIGUSR1) worker.drain();
        });
        std::exception_ptr problem;
        try {
            worker.wait();
        } catch (...) {
            problem = std::current_exception();
        }
        pthread_kill(waiter.native_handle(), SIGUSR1);
        waiter.join();
        if (problem) std::rethrow_exception(problem);
    } catch (const winnow::error &error) {
        std::fprintf(stderr, "host: %s (%d)\n", error.what(), static_cast<int>(error.code()));
        return 1;
    }
}
