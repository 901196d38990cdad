using System;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Daguerre.Worker;
using Newtonsoft.Json.Linq;

/// <summary>What goes wrong, and is told.</summary>
internal static class Failures
{
    internal static async Task Errors(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var job = Kit.Job(steps: -2);
            job.Width = 3;
            var mistake = await Check.Fails("invalid_request", 2, worker.GenerateAsync(job));
            Check.True(mistake.Fields.Any(f => f.Path == "NumInferenceSteps" && f.Message.Contains("-2")), "the mistakes are named");
            Check.True(mistake.Fields.Any(f => f.Path == "Width"), "all of them");

            job = Kit.Job();
            job.GuidanceScale = double.NaN;
            await Check.Fails("invalid_request", 2, worker.GenerateAsync(job));

            job = Kit.Job();
            job.More["NumInferenceStep"] = 4;
            Check.True((await Check.Fails("invalid_request", 2, worker.GenerateAsync(job))).Fields.Count == 1, "an unknown key");

            await Check.Fails("not_found", 2, worker.UnloadAsync("nobody"));
            await Check.Fails("unknown_type", 2, worker.CallAsync("dance"));
            var soon = new Delivery { Deadline = TimeSpan.FromSeconds(0.3) };
            await Check.Fails("deadline", 130, worker.GenerateAsync(Kit.Long(), null, soon));
            await worker.UnloadAsync("nano");
            var missing = Path.Combine(kit.Folder, "nothing.safetensors");
            Check.True((await Check.Fails("bad_file", 3, worker.LoadAsync(missing))).Message.Contains("nothing.safetensors"), "the file");
        }
    }

    // Lines that the worker does not take for requests: it cannot say whose they are, but which.
    internal static async Task Lines(Kit kit)
    {
        var options = kit.Options();
        options.MaxLine = 1;
        using (var worker = await kit.Worker(options))
        {
            var job = Kit.Job();
            job.More["Sampler"] = new JRaw("nonsense");
            var good = worker.GenerateAsync(Kit.Job());
            await Check.Fails("bad_json", 2, worker.GenerateAsync(job));
            job = Kit.Job();
            job.InitImage = new string('A', 2 << 20);
            await Check.Fails("line_too_long", 2, worker.GenerateAsync(job));
            Check.Equal(1, (await good).Images.Count);
        }
    }

    internal static async Task Cancel(Kit kit)
    {
        using (var worker = await kit.Worker())
        using (var stop = new CancellationTokenSource())
        {
            var begun = new TaskCompletionSource<bool>();
            var stopped = worker.GenerateAsync(Kit.Long(), new Events(e => begun.TrySetResult(e is ProgressEvent)), null, stop.Token);
            await begun.Task;
            stop.Cancel();
            await Check.Throws<OperationCanceledException>(stopped);
            Check.True(stopped.IsCanceled, "the task is cancelled");
            await Check.Throws<OperationCanceledException>(worker.GenerateAsync(Kit.Job(), null, null, stop.Token));

            var request = await Kit.Running(worker, Kit.Long());
            Check.Equal(1, await request.CancelAsync());
            await Check.Fails("cancelled", 130, request.Completion);
            await Check.Fails("not_found", 2, request.CancelAsync());

            request = worker.Generate(Kit.Long(3));
            await request.CancelPictureAsync(1);
            await request.CancelPictureAsync(2);
            Check.True(await worker.CancelAllAsync() == 1, "one request is left");
            await Check.Fails("cancelled", 130, request.Completion);

            var first = await Kit.Running(worker, Kit.Long());
            var pair = Kit.Job();
            pair.NumImages = 2;
            request = worker.Generate(pair);
            await request.CancelPictureAsync(1);
            await first.CancelAsync();
            var rest = await request.Completion;
            Check.Equal(0, rest.Images.Single().Index);
            Check.Equal("cancelled", rest.Failures.Single().Code);
            Check.Equal(1, rest.Failures.Single().Index.Value);
            await Check.Fails("cancelled", 130, first.Completion);
        }
    }

    // A mistake of the caller's own method ends its request, and nothing else.
    internal static async Task Handler(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var mistake = worker.GenerateAsync(Kit.Long(), new Events(e => throw new FormatException("mine")));
            Check.Equal("mine", (await Check.Throws<FormatException>(mistake)).Message);
            // A method may wait for other requests: it holds up nobody.
            var inner = new TaskCompletionSource<int>();
            await worker.GenerateAsync(Kit.Job(), new Events(e =>
            {
                if (e.Name == "accepted")
                    inner.SetResult(worker.GenerateAsync(Kit.Job()).Result.Images.Count);
            }));
            Check.Equal(1, await inner.Task);
        }
    }
}
