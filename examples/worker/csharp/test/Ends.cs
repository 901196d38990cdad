using System;
using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Linq;
using System.Threading.Tasks;
using Daguerre.Worker;

/// <summary>How workers end.</summary>
internal static class Ends
{
    /// <summary>Kills the process that computes; hello's answer, an event of its own, tells which it is.</summary>
    private static async Task Kill(DaguerreWorker worker)
    {
        var pid = 0;
        await worker.CallAsync("hello", null, new Events(e => pid = (int?)e.Data["Pid"] ?? pid));
        Process.GetProcessById(pid).Kill();
    }

    internal static async Task Restart(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var restarted = new TaskCompletionSource<RestartedEvent>();
            worker.Notified += (sender, e) =>
            {
                if (e is RestartedEvent told)
                    restarted.TrySetResult(told);
            };
            var request = await Kit.Running(worker, Kit.Long());
            var waiting = worker.GenerateAsync(Kit.Job(seed: 7));
            await Kill(worker);
            await Check.Fails("worker_died", 5, request.Completion);
            Check.Equal(1, (await restarted.Task).Restarts);
            Check.Equal(7L, (await waiting).Images.Single().Seed);
        }
    }

    internal static async Task Death(Kit kit)
    {
        var options = kit.Options();
        options.Supervise = false;
        using (var worker = await kit.Worker(options))
        {
            var request = await Kit.Running(worker, Kit.Long());
            await Kill(worker);
            Check.True((await Check.Fails("worker_died", 5, request.Completion)).Message.Contains("exit code"), "how it ended");
            Check.True(await worker.Exited != 0, "its exit code");
            await Check.Fails("worker_died", 5, worker.GenerateAsync(Kit.Job()));
            Check.True(await worker.ShutdownAsync() != 0, "it has ended already");
        }
    }

    internal static async Task Shutdown(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var last = worker.GenerateAsync(Kit.Job());
            var ended = worker.ShutdownAsync();
            await Check.Fails("shutting_down", 130, worker.GenerateAsync(Kit.Job()));
            Check.Equal(0, await ended);
            Check.Equal(1, (await last).Images.Count);
        }
        using (var worker = await kit.Worker())
        {
            var request = await Kit.Running(worker, Kit.Long());
            Check.Equal(0, await worker.ShutdownAsync(drain: false));
            await Check.Fails("cancelled", 130, request.Completion);
        }
        // What is drained can be given up.
        using (var worker = await kit.Worker())
        {
            var request = await Kit.Running(worker, Kit.Long());
            var ended = worker.ShutdownAsync();
            await request.CancelAsync();
            Check.Equal(0, await ended);
            await Check.Fails("cancelled", 130, request.Completion);
        }
    }

    internal static async Task Dispose(Kit kit)
    {
        var watch = new Stopwatch();
        var worker = await kit.Worker();
        var request = await Kit.Running(worker, Kit.Long());
        watch.Start();
        worker.Dispose();
        worker.Dispose();
        Check.True(watch.Elapsed < TimeSpan.FromSeconds(8), "it does not wait for pictures");
        Check.Equal(0, await worker.Exited);
        await Check.Fails("cancelled", 130, request.Completion);
        await Check.Throws<ObjectDisposedException>(Task.Run(() => worker.GenerateAsync(Kit.Job())));
    }

    internal static async Task Start(Kit kit)
    {
        await Check.Throws<Win32Exception>(DaguerreWorker.StartAsync(new WorkerOptions { Program = kit.WorkerProgram + "-not" }));
        // A value that the program refuses: it ends, and says why in its log.
        var log = new ConcurrentQueue<string>();
        var options = kit.Options();
        options.Models = -3;
        options.Log = log.Enqueue;
        await Check.Fails("worker_died", 5, DaguerreWorker.StartAsync(options));
        Check.True(log.Any(line => line.Contains("models")), "the log says why");
        options = kit.Options();
        options.Environment["DAGUERRE_LIBRARY"] = kit.Folder;
        using (var worker = await DaguerreWorker.StartAsync(options))
            Check.True((await Check.Throws<WorkerException>(worker.LoadAsync("nano"))).Message.Length > 0, "there is no library");
    }
}
