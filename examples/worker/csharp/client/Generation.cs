using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace Daguerre.Worker
{
    /// <summary>Pictures that are being made.</summary>
    public sealed class Generation
    {
        private readonly DaguerreWorker worker;
        private readonly WorkerRequest request;
        private readonly GenerationResult result = new GenerationResult();
        private readonly IProgress<WorkerEvent> events;

        internal Generation(DaguerreWorker worker, string type, object job, IProgress<WorkerEvent> events, Delivery delivery,
            CancellationToken cancel)
        {
            this.worker = worker;
            this.events = events;
            request = worker.Send(type, job ?? throw new ArgumentNullException(nameof(job)), new Events(Take), delivery, cancel);
            Completion = Finish();
        }

        /// <summary>The request's id, as the worker's <c>status</c> tells it.</summary>
        public long Id => request.Id;

        /// <summary>Ends with the pictures. It fails with a <see cref="WorkerException"/> where none could be made, and is cancelled
        /// with the token that the request was made with.</summary>
        public Task<GenerationResult> Completion { get; }

        /// <summary>Gives the request up; <see cref="Completion"/> fails with the code "cancelled".</summary>
        /// <returns>How many requests were given up: 0 where it had ended.</returns>
        public Task<int> CancelAsync() => worker.CancelAsync(Id);

        /// <summary>Gives up one picture of the request; the others are made.</summary>
        public Task CancelPictureAsync(int index, int job = 0) => worker.CallAsync("cancel", new { Target = Id, Index = index, Job = job });

        /// <summary>The adapters of a job of this request, with their weights as they are now.</summary>
        public Task<IList<Adapter>> AdaptersAsync(int job = 0) => Adapters(new { Target = Id, Job = job });

        /// <summary>Changes the weight of an adapter that the job lists. It holds from the next step on, for all pictures that are not
        /// finished.</summary>
        public Task<IList<Adapter>> SetAdapterAsync(string name, double weight, int job = 0) =>
            Adapters(new { Target = Id, Job = job, Name = name, Weight = weight });

        /// <summary>Changes the weights of an adapter for the UNet and for the text encoders.</summary>
        public Task<IList<Adapter>> SetAdapterAsync(string name, double unetWeight, double textEncoderWeight, int job = 0) =>
            Adapters(new { Target = Id, Job = job, Name = name, UnetWeight = unetWeight, TextEncoderWeight = textEncoderWeight });

        /// <summary>Switches an adapter on or off.</summary>
        public Task<IList<Adapter>> EnableAdapterAsync(string name, bool enabled, int job = 0) =>
            Adapters(new { Target = Id, Job = job, Name = name, Enabled = enabled });

        private async Task<IList<Adapter>> Adapters(object question)
        {
            var answer = await worker.CallAsync("lora", question).ConfigureAwait(false);
            return answer["Adapters"].ToObject<List<Adapter>>();
        }

        private void Take(WorkerEvent e)
        {
            if (e is ImageEvent image)
                result.Images.Add(image);
            else if (e is FailedEvent failed)
                result.Failures.Add(failed);
            else if (e is WarningEvent warning)
                result.Warnings.Add(warning.Message);
            events?.Report(e);
        }

        private async Task<GenerationResult> Finish()
        {
            var done = await request.Completion.ConfigureAwait(false);
            result.Seconds = (double?)done["Seconds"] ?? 0;
            return result;
        }
    }

    /// <summary>What a request for pictures ended with.</summary>
    public sealed class GenerationResult
    {
        /// <summary>The pictures, as they were finished; <see cref="WorkerEvent.Job"/> and
        /// <see cref="ImageEvent.Index"/> say which.</summary>
        public IList<ImageEvent> Images { get; } = new List<ImageEvent>();

        /// <summary>Pictures, and whole jobs, that could not be made while others could.</summary>
        public IList<FailedEvent> Failures { get; } = new List<FailedEvent>();

        /// <summary>What was done otherwise than one may expect.</summary>
        public IList<string> Warnings { get; } = new List<string>();

        /// <summary>How long it took, from when the worker took the request.</summary>
        public double Seconds { get; internal set; }
    }
}
