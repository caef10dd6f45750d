using Calico.Ctl;
using Calico.Datastore;

// The one place that knows how a datastore is opened; everything below works on the port.
return await CommandLine.RunAsync(args, CtlContext.ForProcess(options =>
    throw new DatastoreException(DatastoreFault.Invalid, $"datastore type {options.Type} is not part of this build")));
