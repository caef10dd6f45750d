using Calico.Ctl;
using Calico.Datastore;

return await CommandLine.RunAsync(args, CtlContext.ForProcess(DatastoreFactory.Open));
