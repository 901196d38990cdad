using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Daguerre.Worker;

/// <summary>What goes well.</summary>
internal static class Pictures
{
    internal static async Task Hello(Kit kit)
    {
        using (var worker = await DaguerreWorker.StartAsync(kit.Options()))
        {
            Check.Equal(1, worker.Hello.Protocol);
            Check.True(worker.Hello.Version.Length > 0, "there is a version");
            Check.True(worker.Hello.Supervised, "it is supervised");
            Check.Equal(64L << 20, worker.Hello.MaxLine);
            Check.True(worker.Hello.Types.Contains("generate"), "it generates");
            var devices = await worker.CallAsync("devices");
            Check.True(devices["Devices"].Any(d => (string)d["Kind"] == "cpu" && (long)d["TotalBytes"] > 0), "there is a CPU");
        }
    }

    internal static async Task Events(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var job = Kit.Job(seed: 9007199254740993, steps: 4); // a double cannot hold it
            job.NumImages = 2;
            var seen = new List<WorkerEvent>();
            var result = await worker.GenerateAsync(job, new Events(seen.Add), new Delivery { Previews = 2 });
            var names = seen.Select(e => e.Name).ToList();
            Check.Equal("accepted", names.First());
            Check.Equal("done", names.Last());
            Check.True(names.IndexOf("started") == 1, "started is second");
            var progress = seen.OfType<ProgressEvent>().ToList();
            Check.True(progress.Any(p => p.Stage == "denoise" && p.Step > 0 && p.Steps == 4 && p.Total == 8), "steps are told");
            Check.True(progress.Zip(progress.Skip(1), (a, b) => a.Done <= b.Done).All(ordered => ordered), "in order");
            Check.True(seen.All(e => e.Time.Year > 2000 && e.Time.Offset.Ticks == 0), "times are in UTC");
            var previews = seen.OfType<PreviewEvent>().ToList();
            Check.True(previews.Count >= 2, "there are previews");
            previews.ForEach(p => Check.Jpeg(p.Bytes));
            Check.Equal(2, result.Images.Count);
            Check.Equal(0, result.Failures.Count);
            Check.True(result.Seconds > 0, "it takes time");
            foreach (var image in result.Images)
            {
                Check.Png(image.Bytes);
                Check.Equal("png", image.Format);
                Check.Equal(128, image.Width);
                Check.Equal(9007199254740993 + image.Index, image.Seed);
                Check.True(image.Path == null, "nothing was saved");
            }
            Check.Same(result.Images[0].Bytes, result.Images[1].Bytes, false, "two seeds, two pictures");
            var quiet = new List<WorkerEvent>();
            var delivery = new Delivery { Progress = false, Format = "jpeg" };
            var jpeg = await worker.GenerateAsync(Kit.Job(), new Events(quiet.Add), delivery);
            Check.Jpeg(jpeg.Images.Single().Bytes);
            Check.True(!quiet.OfType<ProgressEvent>().Any(), "no progress was wanted");
        }
    }

    internal static async Task Files(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var job = Kit.Job();
            job.Prompt = "2026-11-29T00:00:00Z \"日本\" \\ 🙂\u2028\n"; // looks like a date, and needs care in every encoding
            job.Output = Path.Combine(kit.Folder, "größe {seed}.png");
            var image = (await worker.GenerateAsync(job)).Images.Single();
            Check.Equal(Path.Combine(kit.Folder, "größe 1.png"), image.Path);
            Check.True(image.Bytes == null, "the bytes are in the file");
            Check.Png(image.Read());
            var again = (await worker.GenerateAsync(job, null, new Delivery { Images = "both" })).Images.Single();
            Check.Same(image.Read(), again.Bytes, true, "the same request makes the same picture");

            var change = Kit.Job(steps: 4);
            change.InitImage = image.Path;
            change.Strength = 0.5;
            Check.Png((await worker.GenerateAsync(change)).Images.Single().Bytes);
        }
    }

    internal static async Task Batch(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var run = new { NumInferenceSteps = 2, Jobs = new[] { new { Prompt = "a red circle" }, new { Prompt = "a blue square" } } };
            var result = await worker.Batch(run).Completion;
            Check.Equal("0,1", string.Join(",", result.Images.Select(i => i.Job).OrderBy(i => i)));
        }
    }

    // The worker answers in the casing of the question; the client reads each.
    internal static async Task Casing(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var snake = new { prompt = "a circle", num_inference_steps = 2, seed = 1, num_images = 1, guidance_scale = 5, clip_skip = 1 };
            var camel = new { prompt = "a circle", numInferenceSteps = 2, seed = 1, numImages = 1, guidanceScale = 5, clipSkip = 1 };
            var a = await worker.GenerateAsync(snake);
            var b = await worker.GenerateAsync(camel);
            Check.Same(a.Images.Single().Bytes, b.Images.Single().Bytes, true, "both ask for the same");
            var memory = await worker.CallAsync("memory", new { });
            Check.True((long)memory["PeakRss"] > 0, "keys of results are in PascalCase");
        }
    }

    internal static async Task Threads(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var all = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(() => worker.GenerateAsync(Kit.Job(seed: i)))));
            for (var i = 0; i < all.Length; i++)
                Check.Equal((long)i, all[i].Images.Single().Seed);
        }
    }

    internal static async Task Adapters(Kit kit)
    {
        using (var worker = await kit.Worker())
        {
            var without = await Make(worker.Generate(With(kit, 0)));
            var with = await Make(worker.Generate(With(kit, 0.75)));
            Check.Same(without, with, false, "the adapter shows");

            // This one is in the way until the adapters of those behind it are changed.
            var first = await Kit.Running(worker, Kit.Long());
            var weighted = worker.Generate(With(kit, 0));
            var split = worker.Generate(With(kit, 0));
            var off = worker.Generate(With(kit, 0.75));
            var asked = (await weighted.AdaptersAsync()).Single();
            Check.Equal("outline", asked.Name);
            Check.Equal(0.0, asked.Weight.Value);
            Check.Equal(0.75, (await weighted.SetAdapterAsync("outline", 0.75)).Single().Weight.Value);
            var both = (await split.SetAdapterAsync("outline", 0.5, 0.25)).Single();
            Check.Equal(0.5, both.UnetWeight.Value);
            Check.Equal(0.25, both.TextEncoderWeight.Value);
            Check.Equal(false, (await off.EnableAdapterAsync("outline", false)).Single().Enabled.Value);
            await Check.Fails("not_found", 2, weighted.SetAdapterAsync("nobody", 1));
            await first.CancelAsync();
            await Check.Fails("cancelled", 130, first.Completion);

            Check.Same(Pixels.Of(with), Pixels.Of(await Make(weighted)), true, "changed while it waited: as if asked for so");
            Check.Same(Pixels.Of(without), Pixels.Of(await Make(off)), true, "switched off: as if without");
            Check.Same(Pixels.Of(without), Pixels.Of(await Make(split)), false, "weights of its own");
            await Check.Fails("not_found", 2, weighted.SetAdapterAsync("outline", 1));
        }
    }

    private static Job With(Kit kit, double weight)
    {
        var job = Kit.Job(steps: 4);
        job.Lora = new[] { new Adapter { Name = "outline", Path = kit.AdapterFile, Weight = weight } };
        return job;
    }

    private static async Task<byte[]> Make(Generation request) => (await request.Completion).Images.Single().Bytes;
}
