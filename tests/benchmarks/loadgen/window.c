/* The measured window: opens when the warm-up is over, tells when it is to end. */
#include "loadgen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STEPS 32 /* the histogram's steps for each doubling: 3 % */

static uint64_t histogram[64 * STEPS];

static struct {
    uint64_t opens, closes, began, server_began, self_began, requests;
    uint64_t ended, server_ended, self_ended; /* 0: still open */
} window;

/* Clocks. */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        fail("cannot read a clock: %s", strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    if (pid == 0)
        return 0;
    if (clock_getcpuclockid(pid, &clock) != 0)
        fail("a process is gone that should be measured");
    return clock_ns(clock);
}

/* A server that forks for each connection: its children live as long as the connections do. */
static uint64_t children_cpu_ns(void)
{
    uint64_t total = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)server, (int)server);
    FILE *list = fopen(path, "r");
    if (!list)
        return 0;
    for (int child; fscanf(list, "%d", &child) == 1;)
        total += cpu_ns((pid_t)child);
    fclose(list);
    return total;
}

static uint64_t server_cpu_ns(void) { return cpu_ns(server) + children_cpu_ns(); }

static uint64_t self_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + cpu_ns(backend);
}

/* Latencies. */

static void note_latency(uint64_t ns)
{
    int doublings = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - 5;
    histogram[ns < STEPS ? ns : (uint64_t)(doublings + 1) * STEPS + (ns >> doublings) % STEPS]++;
}

static double latency_us(double quantile)
{
    uint64_t total = 0, seen = 0;
    int i;
    for (i = 0; i < 64 * STEPS; i++)
        total += histogram[i];
    for (i = 0; i < 64 * STEPS - 1 && (seen += histogram[i]) < quantile * (double)total; i++)
        ;
    return (i < STEPS ? (double)i : (double)((uint64_t)(STEPS + i % STEPS) << (i / STEPS - 1))) / 1e3;
}

/* The window. */

void window_start(void)
{
    window.opens = now_ns() + (uint64_t)(warmup * 1e9);
    window.closes = 0;
}

int window_goes_on(uint64_t now)
{
    if (window.closes == 0 && now >= window.opens) {
        memset(histogram, 0, sizeof histogram);
        window.requests = 0;
        window.server_began = server_cpu_ns();
        window.self_began = self_cpu_ns();
        window.began = now_ns();
        window.closes = window.began + (uint64_t)(duration * 1e9);
    }
    return window.closes == 0 || now < window.closes;
}

void window_count(uint64_t began)
{
    if (window.ended > 0)
        return;
    note_latency(now_ns() - began);
    window.requests++;
}

void window_end(void)
{
    window.ended = now_ns();
    window.server_ended = server_cpu_ns();
    window.self_ended = self_cpu_ns();
}

void window_report(void)
{
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"server_cpu\": %.6f, \"generator_cpu\": %.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)window.requests, (double)(window.ended - window.began) / 1e9,
           (double)(window.server_ended - window.server_began) / 1e9,
           (double)(window.self_ended - window.self_began) / 1e9, latency_us(0.50),
           latency_us(0.99));
    fflush(stdout);
}
